//! The model's engine: containers that are made, start, end and vanish, and answers that may not come.

use orca_api::task::Reason;

use super::world::World;
use crate::worker::io::{Container, ContainerStatus, Done, EngineState, Failure, FailureKind, Labels};
use crate::worker::{Effect, Event, OpId};

impl World {
    pub(super) fn set_engine(&mut self, state: EngineState) {
        self.engine = Some(state.clone());
        self.inbox.push_back(Event::Engine(state));
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.engine, Some(EngineState::Up { .. }))
    }

    /// The engine is killed and comes back; without live-restore it takes its containers with it.
    pub(super) fn restart_engine(&mut self) {
        if !self.live_restore {
            let running: Vec<String> = self
                .containers
                .values()
                .filter(|c| c.status == ContainerStatus::Running)
                .map(|c| c.id.clone())
                .collect();
            for id in running {
                self.exit(&id, 137);
            }
        }
        self.engine_life += 1;
        for effect in std::mem::take(&mut self.pending) {
            self.answer_unknown(&effect);
        }
        self.set_engine(EngineState::Away);
        self.set_engine(EngineState::Up {
            life: self.engine_life.to_string(),
            live_restore: self.live_restore,
        });
    }

    /// A container's process ends.
    pub(super) fn exit(&mut self, id: &str, code: i32) {
        let now = self.now.wall;
        if let Some(container) = self.containers.get_mut(id).filter(|c| c.status == ContainerStatus::Running)
        {
            container.status = ContainerStatus::Exited;
            container.exit_code = Some(code);
            container.finished_at = Some(now);
            container.pid = 0;
        }
    }

    pub(super) fn answer_unknown(&mut self, effect: &Effect) {
        if let Some(op) = op_of(effect) {
            let failure = Failure { kind: FailureKind::Unknown, message: "time-out".to_owned() };
            self.inbox.push_back(Event::Done { op, result: Err(failure) });
        }
    }

    pub(super) fn answer_rejected(&mut self, effect: &Effect, reason: Reason) {
        if let Some(op) = op_of(effect) {
            let failure = Failure { kind: FailureKind::Rejected(reason), message: "no".to_owned() };
            self.inbox.push_back(Event::Done { op, result: Err(failure) });
        }
    }

    /// The engine carries an effect out, and answers.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        let now = self.now.wall;
        let answer = match effect {
            Effect::Pull { op, .. } => {
                Event::Done { op, result: Ok(Done::Pulled { image_id: "sha256:1".to_owned() }) }
            }
            Effect::Create { op, name, labels, .. } => Event::Done {
                op,
                result: Ok(Done::Created { container: self.create(name, labels), warnings: Vec::new() }),
            },
            Effect::Start { op, container } => {
                let result = match self.containers.get_mut(&container) {
                    None => Err(Failure { kind: FailureKind::NoSuchContainer, message: String::new() }),
                    Some(c) => {
                        if c.status == ContainerStatus::Created {
                            c.status = ContainerStatus::Running;
                            c.started_at = Some(now);
                            c.pid = 42;
                        }
                        Ok(Done::Started { seen: Box::new(c.clone()) })
                    }
                };
                Event::Done { op, result }
            }
            Effect::Stop { op, container, .. } => {
                self.exit(&container, 143);
                Event::Done {
                    op,
                    result: Ok(Done::Stopped {
                        seen: self.containers.get(&container).cloned().map(Box::new),
                    }),
                }
            }
            Effect::Remove { op, container } => {
                let running =
                    self.containers.get(&container).is_some_and(|c| c.status == ContainerStatus::Running);
                let result = if running {
                    Err(Failure { kind: FailureKind::Unknown, message: "it runs".to_owned() })
                } else if self.containers.remove(&container).is_some() {
                    Ok(Done::Removed)
                } else {
                    Err(Failure { kind: FailureKind::NoSuchContainer, message: String::new() })
                };
                Event::Done { op, result }
            }
            Effect::Inspect { container } => {
                let seen = self.containers.get(&container).cloned().map(Box::new);
                Event::Inspected { container, seen }
            }
            Effect::Sweep => Event::Swept { containers: self.containers.values().cloned().collect() },
            Effect::Report { .. } => return,
        };
        self.check_engine();
        self.inbox.push_back(answer);
    }

    pub(super) fn create(&mut self, name: String, labels: Labels) -> String {
        if let Some(known) = self.containers.values().find(|c| c.name == name) {
            return known.id.clone();
        }
        self.made += 1;
        let id = format!("c{}", self.made);
        let container = Container {
            id: id.clone(),
            name,
            labels: Some(labels),
            status: ContainerStatus::Created,
            exit_code: Some(0),
            oom_killed: false,
            error: String::new(),
            created_at: Some(self.now.wall),
            started_at: None,
            finished_at: None,
            health: None,
            image_id: "sha256:1".to_owned(),
            ports: Vec::new(),
            pid: 0,
            address: None,
        };
        self.containers.insert(id.clone(), container);
        id
    }
}

fn op_of(effect: &Effect) -> Option<OpId> {
    match effect {
        Effect::Pull { op, .. }
        | Effect::Create { op, .. }
        | Effect::Start { op, .. }
        | Effect::Stop { op, .. }
        | Effect::Remove { op, .. } => Some(*op),
        Effect::Inspect { .. } | Effect::Sweep | Effect::Report { .. } => None,
    }
}
