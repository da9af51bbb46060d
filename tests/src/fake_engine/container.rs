//! The life of a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::behaviour::Behaviour;
use super::state::{State, now};

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// A container, as tests see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub status: Status,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How often it was started.
    pub starts: u32,
    /// Signals that it got, oldest first.
    pub signals: Vec<String>,
    /// Its exit code.
    pub exit_code: i64,
    /// The request that made it.
    pub body: Value,
}

pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) body: Value,
    pub(crate) image_id: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) created: String,
    pub(crate) started: Option<String>,
    pub(crate) finished: Option<String>,
    pub(crate) exit_code: i64,
    pub(crate) oom: bool,
    pub(crate) error: String,
    pub(crate) health: Option<String>,
    pub(crate) pid: u64,
    pub(crate) starts: u32,
    pub(crate) signals: Vec<String>,
    /// Published ports: container port with protocol, host port.
    pub(crate) ports: Vec<(String, u16)>,
    /// Output: when, stream, bytes.
    pub(crate) output: Vec<(String, u8, Vec<u8>)>,
}

/// A refusal: status and text.
pub(crate) type Refused = (u16, String);

impl Container {
    pub(crate) fn lives(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused)
    }

    pub(crate) fn say(&mut self, stream: u8, text: &str) {
        // The engine cuts long lines into messages of 16 KiB.
        for piece in text.as_bytes().chunks(16 * 1024) {
            self.output.push((now(), stream, piece.to_vec()));
        }
    }

    pub(crate) fn view(&self) -> ContainerView {
        ContainerView {
            id: self.id.clone(),
            name: self.name.clone(),
            status: self.status,
            labels: self.labels.clone(),
            starts: self.starts,
            signals: self.signals.clone(),
            exit_code: self.exit_code,
            body: self.body.clone(),
        }
    }

    fn status_text(&self) -> &'static str {
        match self.status {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Exited => "exited",
        }
    }

    pub(crate) fn inspect(&self) -> Value {
        let mut state = json!({
            "Status": self.status_text(), "Running": self.lives(), "Paused": self.status == Status::Paused, "OOMKilled": self.oom,
            "Pid": if self.lives() { self.pid } else { 0 }, "ExitCode": self.exit_code, "Error": self.error,
            "StartedAt": self.started.as_deref().unwrap_or("0001-01-01T00:00:00Z"),
            "FinishedAt": self.finished.as_deref().unwrap_or("0001-01-01T00:00:00Z"),
        });
        if let Some(health) = &self.health {
            state["Health"] = json!({"Status": health, "FailingStreak": 0, "Log": [{"ExitCode": 1, "Output": "the check says: no"}]});
        }
        let mut ports = serde_json::Map::new();
        for (container, host) in self.ports.iter().filter(|_| self.lives()) {
            ports.insert(container.clone(), json!([{"HostIp": "0.0.0.0", "HostPort": host.to_string()}]));
        }
        json!({
            "Id": self.id, "Name": format!("/{}", self.name), "Created": self.created, "Image": self.image_id, "State": state,
            "Config": {"Labels": self.labels, "Image": self.body["Image"], "StopSignal": self.body["StopSignal"]},
            "HostConfig": {
                "PortBindings": self.body["HostConfig"]["PortBindings"],
                "NetworkMode": self.body["HostConfig"]["NetworkMode"],
            },
            "NetworkSettings": {"Ports": ports},
        })
    }

    pub(crate) fn summary(&self) -> Value {
        let ports: Vec<Value> = self.ports.iter().map(|(c, h)| {
            let (port, protocol) = c.split_once('/').unwrap_or((c, "tcp"));
            json!({"IP": "0.0.0.0", "PrivatePort": port.parse::<u16>().unwrap_or(0), "PublicPort": h, "Type": protocol})
        }).collect();
        json!({"Id": self.id, "Names": [format!("/{}", self.name)], "Labels": self.labels, "State": self.status_text(), "Ports": if self.lives() { ports } else { Vec::new() }})
    }
}

fn no_such(name: &str) -> Refused {
    (404, format!("No such container: {name}"))
}

/// Makes one; its id.
pub(crate) fn create(shared: &Arc<Shared>, name: &str, body: &Value) -> Result<String, Refused> {
    let id = shared.with(|state| {
        if let Some(other) = state.find(name) {
            return Err((
                409,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{}\".",
                    other.id
                ),
            ));
        }
        let image_name = body["Image"].as_str().unwrap_or_default();
        let Some(image) = state.image(image_name).cloned() else {
            return Err((404, format!("No such image: {image_name}")));
        };
        for mount in body["HostConfig"]["Mounts"].as_array().into_iter().flatten() {
            let source = mount["Source"].as_str().unwrap_or_default();
            if mount["Type"] == "bind" && !std::path::Path::new(source).exists() {
                return Err((
                    400,
                    format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {source}"
                    ),
                ));
            }
        }
        let env: Vec<String> = strings(&body["Env"]);
        // As in the engine: labels of the image, and over them the container's own.
        let mut labels = image.behaviour.image_labels.clone();
        for (key, value) in body["Labels"].as_object().into_iter().flatten() {
            labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        let n = state.next();
        let id = format!("{n:064x}");
        let behaviour = image.behaviour.clone().with_env(&env);
        state.containers.push(Container {
            id: id.clone(),
            name: name.to_owned(),
            status: Status::Created,
            labels,
            body: body.clone(),
            image_id: image.id,
            behaviour,
            created: now(),
            started: None,
            finished: None,
            exit_code: 0,
            oom: false,
            error: String::new(),
            health: None,
            pid: 4_194_304 + n,
            starts: 0,
            signals: Vec::new(),
            ports: Vec::new(),
            output: Vec::new(),
        });
        Ok(id)
    })?;
    publish(shared, &id, "create");
    Ok(id)
}

/// Starts one; whether it was not running before.
pub(crate) fn start(shared: &Arc<Shared>, name: &str) -> Result<bool, Refused> {
    let (id, number, behaviour) = {
        let begun = shared.with(|state| begin(state, name))?;
        let Some(begun) = begun else { return Ok(false) };
        begun
    };
    publish(shared, &id, "start");
    let later = Arc::clone(shared);
    tokio::spawn(async move {
        let began = tokio::time::Instant::now();
        for step in &behaviour.health {
            tokio::time::sleep_until(began + step.after).await;
            set_health(&later, &id, &step.status);
        }
        if let Some((after, code)) = behaviour.exit {
            tokio::time::sleep_until(began + after).await;
            // Only of this start: it may have been stopped and started again.
            if later.look(|state| state.find(&id).is_some_and(|c| c.starts == number)) {
                end(&later, &id, code, false);
            }
        }
    });
    Ok(true)
}

fn begin(state: &mut State, name: &str) -> Result<Option<(String, u32, Behaviour)>, Refused> {
    let container = state.find(name).ok_or_else(|| no_such(name))?;
    if container.lives() {
        return Ok(None);
    }
    let failed = container.behaviour.start_error.clone();
    let id = container.id.clone();
    let wanted = container.body["HostConfig"]["PortBindings"].clone();
    let taken: Vec<u16> = state
        .containers
        .iter()
        .filter(|c| c.lives())
        .flat_map(|c| c.ports.iter().map(|(_, host)| *host))
        .collect();
    let mut ports = Vec::new();
    let mut conflict = None;
    for (port, bindings) in wanted.as_object().into_iter().flatten() {
        for binding in bindings.as_array().into_iter().flatten() {
            let fixed = binding["HostPort"].as_str().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p > 0);
            let host =
                fixed.unwrap_or_else(|| (32_768..=u16::MAX).find(|p| !taken.contains(p)).unwrap_or(u16::MAX));
            if taken.contains(&host) {
                conflict = Some((
                    500,
                    format!(
                        "driver failed programming external connectivity on endpoint {name} (0123): Bind for 0.0.0.0:{host} failed: port is already allocated"
                    ),
                ));
            }
            ports.push((port.clone(), host));
        }
    }
    let container = state.find_mut(&id).ok_or_else(|| no_such(name))?;
    if let Some(refused) = failed.or(conflict) {
        container.error.clone_from(&refused.1);
        container.exit_code = 128;
        return Err(refused);
    }
    container.status = Status::Running;
    container.started = Some(now());
    container.finished = None;
    container.exit_code = 0;
    container.error.clear();
    container.oom = false;
    container.ports = ports;
    container.starts += 1;
    if !container.behaviour.health.is_empty() {
        container.health = Some("starting".to_owned());
    }
    for (stream, text) in container.behaviour.output.clone() {
        container.say(stream, &text);
    }
    Ok(Some((id, container.starts, container.behaviour.clone())))
}

/// Ends the process of one that runs.
pub(crate) fn end(shared: &Shared, name: &str, code: i64, oom: bool) {
    let ended = shared.with(|state| {
        let container = state.find_mut(name).filter(|c| c.lives())?;
        container.status = Status::Exited;
        container.exit_code = code;
        container.oom = oom;
        container.finished = Some(now());
        container.health = None;
        Some(container.id.clone())
    });
    if let Some(id) = ended {
        if oom {
            publish(shared, &id, "oom");
        }
        publish(shared, &id, "die");
    }
}

/// Sends a signal.
pub(crate) fn kill(shared: &Shared, name: &str, signal: &str) -> Result<(), Refused> {
    let ends = shared.with(|state| {
        let container = state.find_mut(name).ok_or_else(|| no_such(name))?;
        if !container.lives() {
            return Err((409, format!("Cannot kill container: {name}: Container {name} is not running")));
        }
        container.signals.push(signal.to_owned());
        let kill = matches!(signal, "KILL" | "SIGKILL" | "9");
        let behaviour = &container.behaviour;
        Ok(if kill {
            (!behaviour.unkillable).then_some(137)
        } else if behaviour.ignores_term || container.status == Status::Paused {
            None
        } else {
            Some(behaviour.term_code.unwrap_or(143))
        })
    })?;
    if let Some(code) = ends {
        end(shared, name, code, false);
    }
    Ok(())
}

/// Sets one's health.
pub(crate) fn set_health(shared: &Shared, name: &str, health: &str) {
    let id = shared.with(|state| {
        let container = state.find_mut(name).filter(|c| c.lives())?;
        container.health = Some(health.to_owned());
        Some(container.id.clone())
    });
    if let Some(id) = id {
        publish(shared, &id, &format!("health_status: {health}"));
    }
}

/// Removes one, whatever it does.
pub(crate) fn destroy(shared: &Shared, name: &str) {
    let Some((id, attributes)) = shared.look(|state| state.find(name).map(|c| (c.id.clone(), attributes(c))))
    else {
        return;
    };
    end(shared, &id, 137, false);
    shared.with(|state| state.containers.retain(|c| c.id != id));
    shared.publish(event(&id, "destroy", &attributes));
}

/// Removes one that does not run.
pub(crate) fn remove(shared: &Shared, name: &str, force: bool) -> Result<(), Refused> {
    let lives = shared.look(|state| state.find(name).map(Container::lives)).ok_or_else(|| no_such(name))?;
    if lives && !force {
        return Err((
            409,
            format!(
                "You cannot remove a running container {name}. Stop the container before attempting removal or force remove"
            ),
        ));
    }
    destroy(shared, name);
    Ok(())
}

fn attributes(container: &Container) -> BTreeMap<String, String> {
    let mut all = container.labels.clone();
    all.insert("name".to_owned(), container.name.clone());
    all
}

pub(crate) fn publish(shared: &Shared, id: &str, action: &str) {
    if let Some(attributes) = shared.look(|state| state.find(id).map(attributes)) {
        shared.publish(event(id, action, &attributes));
    }
}

fn event(id: &str, action: &str, attributes: &BTreeMap<String, String>) -> Value {
    let time = jiff::Timestamp::now();
    json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes}, "scope": "local", "time": time.as_second(), "timeNano": i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)})
}

/// The texts of a JSON list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}
