//! Where this manager can be reached from other machines: what an admin set, else what the machine's routes say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use orca_api::error::{Code, Problem};

/// Addresses with the reason for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// `HOST:PORT`, best first.
    pub addresses: Vec<String>,
    /// Why these.
    pub why: String,
}

/// Chooses: what was asked for, else what is set for the cluster, else the address that it listens on, else the one of
/// the interface with the default route.
///
/// # Errors
/// No address is found.
pub fn choose(asked: &[String], set: &[String], listen: SocketAddr) -> Result<Reach, Problem> {
    if !asked.is_empty() {
        return Ok(Reach { addresses: asked.to_vec(), why: "as you said".to_owned() });
    }
    if !set.is_empty() {
        return Ok(Reach {
            addresses: set.to_vec(),
            why: "as set with `orcactl cluster set addresses=…`".to_owned(),
        });
    }
    if !listen.ip().is_unspecified() {
        let why = "the address that orcad listens on".to_owned();
        return Ok(Reach { addresses: vec![listen.to_string()], why });
    }
    let found: Vec<IpAddr> =
        [default_v4(), if listen.is_ipv6() { default_v6() } else { None }].into_iter().flatten().collect();
    if found.is_empty() {
        return Err(Problem::new(
            Code::BadRequest,
            "no address is found under which other machines reach this one",
        )
        .because("there is no default route")
        .hint("say it: orcactl node token --address HOST:7443"));
    }
    let interface = default_interface().map_or_else(String::new, |name| format!(" ({name})"));
    let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, listen.port()).to_string()).collect();
    Ok(Reach { addresses, why: format!("the interface with the default route{interface}") })
}

/// The address that this machine would send from to another one. Nothing is sent: the kernel looks at its routes.
pub fn source_for(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

// Addresses for documentation (RFC 5737, RFC 3849): on no interface, so only the default route leads there.
fn default_v4() -> Option<IpAddr> {
    source_for((Ipv4Addr::new(192, 0, 2, 1), 9).into()).filter(|ip| !ip.is_loopback())
}

fn default_v6() -> Option<IpAddr> {
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let ip = source_for((documentation, 9).into())?;
    // Link-local and unique local addresses mean nothing elsewhere, or not for certain.
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xe000 == 0x2000).then_some(ip)
}

fn default_interface() -> Option<String> {
    let routes = procfs::net::route().ok()?;
    routes.into_iter().find(|r| r.destination.is_unspecified() && r.mask.is_unspecified()).map(|r| r.iface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_said_comes_first() {
        let any: SocketAddr = "0.0.0.0:7443".parse().unwrap();
        let (asked, set) = (["m1:7443".to_owned()], ["10.0.0.9:7443".to_owned()]);
        assert_eq!(choose(&asked, &set, any).unwrap().addresses, asked);
        assert_eq!(choose(&[], &set, any).unwrap().addresses, set);
        let one: SocketAddr = "10.1.2.3:99".parse().unwrap();
        assert_eq!(choose(&[], &[], one).unwrap().addresses, ["10.1.2.3:99"]);
    }

    #[test]
    fn the_way_to_oneself_is_the_loopback() {
        assert_eq!(source_for("127.0.0.1:9".parse().unwrap()), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
