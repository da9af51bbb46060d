//! Contexts: clusters that are reached over the network, each in a file of the user's configuration folder.
//!
//! ```text
//!   $XDG_CONFIG_HOME/orca/contexts/NAME.toml   key, certificate, CAs, addresses; for its owner's eyes only
//!   $XDG_CONFIG_HOME/orca/context              the name of the current one
//! ```
//!
//! `local` is no file: it is the socket of this machine.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use orca_api::error::exit;
use orca_api::id::{CertificateId, ClusterId};
use orca_api::join::{CertRole, check_address};
use orca_api::name::Name;
use orca_api::text::read_toml;
use orca_api::units::Time;
use serde::{Deserialize, Serialize};

use crate::output::error::Failure;

/// The name that means the socket of this machine.
pub const LOCAL: &str = "local";
/// The largest file in bytes: two certificates, a key and a set of CAs are about 4 KiB.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A file of a context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose certificate it is.
    pub name: Name,
    /// What it allows.
    pub role: CertRole,
    /// The certificate's id, for its revocation.
    pub id: CertificateId,
    /// Until when it is good.
    pub expires_at: Time,
    /// Where managers listen, `HOST:PORT`, best first.
    pub addresses: Vec<String>,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// The CAs to trust, PEM.
    pub ca: String,
}

impl Context {
    /// Its file's text.
    pub fn text(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        format!(
            "# A context of orcactl. Whoever has this file acts on the cluster as {name} ({role}).\n\
             cluster = \"{}\"\nname = \"{name}\"\nrole = \"{role}\"\nid = \"{}\"\nexpires_at = \"{}\"\n\
             addresses = [{}]\ncertificate = '''\n{}\n'''\nkey = '''\n{}\n'''\nca = '''\n{}\n'''\n",
            self.cluster,
            self.id,
            self.expires_at,
            addresses.join(", "),
            self.certificate.trim(),
            self.key.trim(),
            self.ca.trim(),
            name = self.name,
            role = self.role,
        )
    }
}

/// The folder of the user's configuration of orca, if the user has any.
pub fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("orca"))
}

fn needed_folder() -> Result<PathBuf, Failure> {
    folder().ok_or_else(|| {
        Failure::usage("there is no folder for contexts")
            .exit(exit::CONFIG)
            .because("neither XDG_CONFIG_HOME nor HOME is set to an absolute path")
            .hint("HOME=/root orcactl …")
    })
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join("contexts").join(format!("{name}.toml"))
}

/// The name of the current context; none is the socket of this machine.
///
/// # Errors
/// The file that names it cannot be read.
pub fn current() -> Result<Option<Name>, Failure> {
    let Some(path) = folder().map(|folder| folder.join("context")) else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unread(&path, &error.to_string())),
    };
    match text.trim() {
        "" | LOCAL => Ok(None),
        name => name.parse().map(Some).map_err(|_| {
            unread(&path, "it does not hold the name of a context").hint("orcactl context use NAME")
        }),
    }
}

/// Makes a context the current one.
///
/// # Errors
/// There is no such context, or the file cannot be written.
pub fn set_current(name: &Name) -> Result<(), Failure> {
    let folder = needed_folder()?;
    if name.as_str() != LOCAL {
        load(name)?;
    }
    write(&folder.join("context"), &format!("{name}\n"), true)
}

/// The names of the contexts.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<Name>, Failure> {
    let Some(folder) = folder().map(|folder| folder.join("contexts")) else { return Ok(Vec::new()) };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(&folder, &error.to_string())),
    };
    let names = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.parse::<Name>().ok());
    let mut names: Vec<Name> = names.collect();
    names.sort();
    Ok(names)
}

/// Reads a context.
///
/// # Errors
/// There is none of that name, or its file is wrong.
pub fn load(name: &Name) -> Result<(Context, PathBuf), Failure> {
    let path = file(&needed_folder()?, name.as_str());
    if !path.exists() {
        let failure = Failure::new(format!("there is no context {name}"))
            .exit(exit::NO_SUCH)
            .because(format!("{} does not exist", path.display()));
        let near = names()?;
        return Err(match orca_api::text::nearest(name.as_str(), near.iter().map(Name::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure
                .hint("orcactl context list shows those that are there")
                .hint("on a manager: sudo orcactl cluster admin-cert NAME makes one; here: orcactl context add NAME.toml"),
        });
    }
    read(&path).map(|context| (context, path))
}

/// Reads the file of a context.
///
/// # Errors
/// It cannot be read, others can read it, or something in it is wrong.
pub fn read(path: &Path) -> Result<Context, Failure> {
    let about = std::fs::metadata(path).map_err(|error| unread(path, &error.to_string()))?;
    if about.mode() & 0o077 != 0 {
        return Err(unread(path, "others than its owner can read it, and there is a key in it")
            .hint(format!("chmod 600 {}", path.display()))
            .hint("a key that somebody may have read: orcactl cluster admin-cert revoke"));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(unread(path, "it is too large to be a context"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unread(path, &error.to_string()))?;
    let context: Context = read_toml(&text).map_err(|error| {
        unread(path, &error.to_string()).hint("on a manager: sudo orcactl cluster admin-cert NAME makes one")
    })?;
    if context.addresses.is_empty() {
        return Err(unread(path, "`addresses` is empty").hint("addresses = [\"10.0.0.1:7443\"]"));
    }
    for address in &context.addresses {
        check_address(address).map_err(|why| unread(path, &format!("`addresses`: {why}")))?;
    }
    Ok(context)
}

/// Stores a context under a name; returns its path.
///
/// # Errors
/// There is one of that name, or it cannot be written.
pub fn store(name: &Name, context: &Context, replace: bool) -> Result<PathBuf, Failure> {
    if name.as_str() == LOCAL {
        return Err(Failure::usage("`local` is the socket of this machine").hint("--name another"));
    }
    let path = file(&needed_folder()?, name.as_str());
    write(&path, &context.text(), replace)?;
    Ok(path)
}

/// Removes a context.
///
/// # Errors
/// There is none of that name, or it cannot be removed.
pub fn remove(name: &Name) -> Result<(), Failure> {
    let folder = needed_folder()?;
    let path = file(&folder, name.as_str());
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return load(name).map(|_| ()),
        Err(error) => {
            return Err(
                Failure::new(format!("the context {name} cannot be removed")).because(error.to_string())
            );
        }
    }
    if current()?.as_ref() == Some(name) {
        write(&folder.join("context"), &format!("{LOCAL}\n"), true)?;
    }
    Ok(())
}

/// Writes a file that its owner alone can read, whole or not at all.
///
/// # Errors
/// There is such a file and it is not to be replaced, or it cannot be written.
pub fn write(path: &Path, text: &str, replace: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("{} cannot be written", path.display())).because(error.to_string())
    };
    if !replace && path.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} exists already", path.display()))
            .hint(format!("take another name, or remove it: rm {}", path.display())));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}", std::process::id()));
    let part = PathBuf::from(part);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        // What is left of it is of no use to anybody; the failure is said already.
        let _ = std::fs::remove_file(&part);
        failed(error)
    })
}

fn unread(path: &Path, why: &str) -> Failure {
    Failure::new(format!("the context in {} cannot be used", path.display())).exit(exit::CONFIG).because(why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn context() -> Context {
        Context {
            cluster: "7ZK3M000000CRAB1".parse().unwrap(),
            name: "alice".parse().unwrap(),
            role: CertRole::Admin,
            id: "7ZK3M000000CERT1".parse().unwrap(),
            expires_at: Time::from_ms(1_800_000_000_000),
            addresses: vec!["10.0.0.1:7443".into(), "m1.example:7443".into()],
            certificate: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
            key: "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n".into(),
            ca: "-----BEGIN CERTIFICATE-----\nAB==\n-----END CERTIFICATE-----\n".into(),
        }
    }

    #[test]
    fn a_context_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        write(&path, &context().text(), false).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), context());
        assert!(write(&path, "", false).is_err(), "nothing is overwritten unasked");
        assert_eq!(read(&path).unwrap(), context());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        write(&path, &context().text(), false).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().hint[0].starts_with("chmod 600 "));
    }

    #[test]
    fn what_is_wrong_in_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        for (from, to, named) in [
            ("addresses = [", "adresses = [", "did you mean `addresses`?"),
            ("\"10.0.0.1:7443\"", "\"10.0.0.1\"", "has no port"),
            ("\"admin\"", "\"root\"", "role"),
        ] {
            write(&path, &context().text().replace(from, to), true).unwrap();
            let because = read(&path).unwrap_err().because.join(" ");
            assert!(because.contains(named), "{because}");
        }
    }
}
