//! What the arguments mean together with the environment and files.

use std::path::PathBuf;

use orca_api::join::{LINK_PORT, check_address};
use orca_api::name::Name;
use orca_api::units::Span;

use self::context::{Context, LOCAL};
use crate::cli::{Global, SOCKET_DEFAULT};
use crate::output::error::Failure;

pub mod context;
pub mod env;
pub mod job;
pub mod spec;

/// What holds for every command.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask.
    pub way: Way,
    /// The control socket of this machine, for what concerns the machine itself.
    pub socket: PathBuf,
    /// How long the first byte of an answer may take.
    pub answer_timeout: Span,
}

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub enum Way {
    /// The daemon of this machine.
    Socket,
    /// A manager, over the network.
    Network {
        /// Who says so: `context prod`.
        by: String,
        /// It was asked for at this call, and is not merely the current context.
        asked: bool,
        /// Certificate, key and CAs; the addresses are those to try.
        context: Box<Context>,
    },
}

impl Settings {
    /// From the global options. What was typed counts more than the environment, that more than the current context.
    ///
    /// # Errors
    /// Where they make no sense, or a context cannot be used.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let socket = global.socket.clone();
        if socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(Failure::usage("the path of the control socket is empty")
                .hint("leave --socket and ORCA_SOCKET out to use the usual one"));
        }
        if global.answer_timeout == Span::ZERO {
            return Err(Failure::usage("--answer-timeout must be longer than nothing")
                .hint("--answer-timeout 10s is the usual one"));
        }
        let way = way(global)?;
        let socket = socket.unwrap_or_else(|| SOCKET_DEFAULT.into());
        Ok(Self { way, socket, answer_timeout: global.answer_timeout })
    }

    /// For what concerns this machine itself.
    ///
    /// # Errors
    /// Another machine was asked for.
    pub fn here(&self) -> Result<Self, Failure> {
        match &self.way {
            Way::Network { asked: true, by, .. } => {
                Err(Failure::usage("this concerns the machine it is typed on")
                    .because(format!("{by} asks for another one"))
                    .hint("type it there, or leave --host, --context, ORCA_HOST and ORCA_CONTEXT out"))
            }
            _ => Ok(Self { way: Way::Socket, ..self.clone() }),
        }
    }
}

fn way(global: &Global) -> Result<Way, Failure> {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (mut host, mut named, typed) = (set(&global.host), set(&global.context), global.typed);
    if typed.socket && (typed.host || typed.context) {
        return Err(Failure::usage("--socket is this machine, --host and --context are others")
            .hint("leave one of them out"));
    }
    if typed.socket || (typed.context && !typed.host) {
        host = None;
    }
    if typed.socket {
        named = None;
    }
    if let Some(host) = host {
        let address = address(&host)?;
        let named = match named.filter(|name| name != LOCAL) {
            Some(name) => Some(parse(&name)?),
            None => context::current()?,
        };
        let Some(name) = named else {
            return Err(Failure::usage(format!("there is no certificate for {host}"))
                .because("no context is named, and none is the current one")
                .hint("on a manager: sudo orcactl cluster admin-cert NAME makes one; here: orcactl context add NAME.toml")
                .hint("--context NAME takes the certificate of a context"));
        };
        let (mut context, _) = context::load(&name)?;
        context.addresses = vec![address];
        return Ok(Way::Network {
            by: format!("--host with context {name}"),
            asked: true,
            context: Box::new(context),
        });
    }
    let asked = named.is_some();
    let name = match named {
        Some(name) if name == LOCAL => None,
        Some(name) => Some(parse(&name)?),
        None if global.socket.is_some() => None,
        None => context::current()?,
    };
    let Some(name) = name else { return Ok(Way::Socket) };
    let (context, _) = context::load(&name)?;
    Ok(Way::Network { by: format!("context {name}"), asked, context: Box::new(context) })
}

fn parse(name: &str) -> Result<Name, Failure> {
    name.parse().map_err(|error| {
        Failure::usage(format!("`{name}` is no name of a context"))
            .because(format!("{error}"))
            .hint("orcactl context list shows those that are there")
    })
}

/// `HOST:PORT`, with the port of the link where none is said.
fn address(host: &str) -> Result<String, Failure> {
    let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let with_port = match (bare_v6, host.rsplit_once(':')) {
        (true, _) => format!("[{host}]:{LINK_PORT}"),
        (false, Some((_, port))) if !port.ends_with(']') => host.to_owned(),
        _ => format!("{host}:{LINK_PORT}"),
    };
    check_address(&with_port).map(|()| with_port).map_err(|why| {
        Failure::usage(format!("`--host {host}` is no address of a manager"))
            .because(why)
            .hint("--host m1.example, or --host 10.0.0.1:7443")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_the_usual_port() {
        for (host, wanted) in [
            ("m1", "m1:7443"),
            ("m1.example:99", "m1.example:99"),
            ("10.0.0.1", "10.0.0.1:7443"),
            ("fd00::1", "[fd00::1]:7443"),
            ("[fd00::1]", "[fd00::1]:7443"),
            ("[fd00::1]:99", "[fd00::1]:99"),
        ] {
            assert_eq!(address(host).unwrap(), wanted);
        }
        for bad in ["m1:", "a b", "m1:0", "https://m1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
