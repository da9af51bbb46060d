//! Asking systemd whether the whole machine is going down.

use std::time::Duration;

use zbus::OwnedVariant;

/// How long the answer may take: the stop waits for it.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Whether the machine is going down, and not only this service. Where nobody can be asked it is not.
pub async fn machine_stops() -> bool {
    match tokio::time::timeout(ANSWER_TIME, ask()).await {
        Ok(Ok(state)) => state == "stopping",
        Ok(Err(error)) => {
            tracing::debug!(%error, "systemd cannot be asked for its state");
            false
        }
        Err(_) => {
            tracing::debug!("systemd does not tell its state in time");
            false
        }
    }
}

async fn ask() -> zbus::Result<String> {
    let bus = zbus::Connection::system().await?;
    let answer = bus
        .call_method(
            Some("org.freedesktop.systemd1"),
            "/org/freedesktop/systemd1",
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.systemd1.Manager", "SystemState"),
        )
        .await?;
    let state: OwnedVariant = answer.body().deserialize()?;
    String::try_from(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_runs_tests_is_not_going_down() {
        assert!(!machine_stops().await);
    }
}
