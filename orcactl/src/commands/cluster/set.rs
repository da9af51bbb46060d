//! `orcactl cluster set`: `key=value`, as many as one likes, in one step.

use orca_api::cluster::{ClusterView, SetCluster};
use orca_api::error::exit;
use orca_api::join::check_address;
use orca_api::route::Route;
use orca_api::spec::Algorithm;
use orca_api::text::nearest;
use orca_api::units::Span;

use super::inspect;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// The settings, and what may stand after `=`.
pub(in crate::commands) const KEYS: &[(&str, &str)] = &[
    ("scheduler", "how tasks are placed that do not say"),
    ("node_grace", "how long a node may be down before its tasks are placed elsewhere"),
    (
        "agent_grace",
        "how long orcad may be away on a machine that lives before its tasks are placed elsewhere",
    ),
    ("certificate_ttl", "how long certificates of nodes last"),
    ("addresses", "where managers can be reached; nothing: found out again"),
];

/// Changes settings.
pub async fn run(client: &Client, printer: Printer, settings: &[String]) -> Outcome {
    let request = request(settings)?;
    let answer = client.call(Route::ClusterSet).body(&request)?.answer::<ClusterView>().await?;
    inspect::say(&printer, &answer.body, answer.now)?;
    Ok(exit::OK)
}

fn request(settings: &[String]) -> Result<SetCluster, Failure> {
    let mut request = SetCluster::default();
    let mut seen: Vec<&str> = Vec::new();
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{setting}` sets nothing")).hint("write key=value: scheduler=spread")
        })?;
        if seen.contains(&key) {
            return Err(Failure::usage(format!("`{key}` is set twice")).hint("leave one of them out"));
        }
        seen.push(key);
        match key {
            "scheduler" => request.scheduler = Some(algorithm(value)?),
            "node_grace" => request.node_grace = Some(span(key, value)?),
            "agent_grace" => request.agent_grace = Some(span(key, value)?),
            "certificate_ttl" => request.certificate_ttl = Some(span(key, value)?),
            "addresses" => request.addresses = Some(addresses(value)?),
            _ => return Err(unknown(key)),
        }
    }
    Ok(request)
}

fn unknown(key: &str) -> Failure {
    let failure = Failure::usage(format!("a cluster has no setting `{key}`"));
    match nearest(key, KEYS.iter().map(|(key, _)| *key)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => {
            let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            failure.hint(format!("the settings are {}", keys.join(", ")))
        }
    }
}

fn algorithm(value: &str) -> Result<Algorithm, Failure> {
    let words = || Algorithm::ALL.iter().map(|algorithm| algorithm.as_str());
    if let Some(found) = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == value) {
        return Ok(found);
    }
    let failure = Failure::usage(format!("`scheduler`: there is no algorithm `{value}`"));
    Err(match nearest(value, words()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("one of {}", words().collect::<Vec<_>>().join(", "))),
    })
}

fn span(key: &str, value: &str) -> Result<Span, Failure> {
    value.parse().map_err(|error| {
        Failure::usage(format!("`{key}`: `{value}` is no length of time"))
            .because(format!("{error}"))
            .hint(format!("{key}=10s, or {key}=2m"))
    })
}

fn addresses(value: &str) -> Result<Vec<String>, Failure> {
    let all: Vec<String> =
        value.split(',').filter(|address| !address.is_empty()).map(str::to_owned).collect();
    for address in &all {
        check_address(address).map_err(|why| {
            Failure::usage(format!("`addresses`: {why}")).hint("addresses=m1.example:7443,10.0.0.1:7443")
        })?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SetCluster, Failure> {
        request(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn settings_are_read() {
        let set = read("scheduler=round_robin node_grace=10s addresses=m1:7443,10.0.0.1:7443").unwrap();
        assert_eq!(set.scheduler, Some(Algorithm::RoundRobin));
        assert_eq!(set.node_grace, Some(Span::from_secs(10)));
        assert_eq!(set.addresses.unwrap().len(), 2);
        assert_eq!(set.agent_grace, None);
        assert_eq!(read("addresses=").unwrap().addresses, Some(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_nearest() {
        for (bad, hint) in [
            ("schedular=spread", "did you mean `scheduler`?"),
            ("scheduler=sprad", "did you mean `spread`?"),
            ("node_grace=soon", "node_grace=10s"),
            ("addresses=m1", "addresses=m1.example:7443"),
            ("scheduler", "key=value"),
            ("node_grace=1s node_grace=2s", "leave one"),
            ("colour=red", "the settings are"),
        ] {
            let failure = read(bad).unwrap_err();
            assert!(failure.hint.join(" ").contains(hint), "{bad}: {failure:?}");
        }
    }
}
