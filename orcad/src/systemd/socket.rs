//! The control socket and the view socket: taken over from systemd, or bound by their paths.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::net::UnixListener;

/// Who is in this group may use the control socket, and so is root on every node.
pub const GROUP: &str = "orca";
/// Who is in this group may use the view socket, and so read.
const VIEW_GROUP: &str = "orca-view";
/// The view socket's name, beside the control socket.
const VIEW_NAME: &str = "view.sock";
/// The name of the control socket in its unit (`FileDescriptorName=`).
const DESCRIPTOR: &str = "control";
/// The name of the view socket in its unit.
const VIEW_DESCRIPTOR: &str = "view";
/// Connections that wait to be accepted: what systemd gives a socket unit by default is 4096; the kernel caps it.
const BACKLOG: i32 = 4096;
/// How long a connection must stay open to be somebody's: a process that was killed is gone sooner.
const STAYS: Duration = Duration::from_millis(300);

/// The control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// What systemd handed over is no listening Unix socket.
    #[error("systemd handed over a control socket that cannot be used")]
    Handed(#[source] io::Error),
    /// Another daemon serves it.
    #[error("another daemon answers on {}", .0.display())]
    Answered(PathBuf),
    /// Something else is in its place.
    #[error("{} is there and is not a socket", .0.display())]
    InTheWay(PathBuf),
    /// Its folder cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be bound.
    #[error("the control socket {} cannot be bound", path.display())]
    Bind {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A socket that was bound by its path. Its file goes with it, unless another is there by then.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    file: (u64, u64),
}

impl Drop for Bound {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // Whoever comes next removes a stale one as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

/// What systemd handed over.
#[derive(Debug, Default)]
pub struct Handed {
    /// The control socket.
    pub control: Option<StdListener>,
    /// The view socket.
    pub view: Option<StdListener>,
}

/// Takes the sockets that systemd hands over, if it does: the descriptors with the right names. The control socket may
/// also be the first Unix listener of another name, as where names are not given; the view socket never is, and is never
/// taken for the control socket. To be called before there are threads, since it takes the variables away that said so.
///
/// # Errors
/// [`SocketError::Handed`]
pub fn handed_over() -> Result<Handed, SocketError> {
    let names = std::env::var("LISTEN_FDNAMES").ok();
    choose(ListenFd::from_env(), names.as_deref())
}

fn choose(mut handed: ListenFd, names: Option<&str>) -> Result<Handed, SocketError> {
    let named = |wanted: &str| names.and_then(|names| names.split(':').position(|name| name == wanted));
    let view = match named(VIEW_DESCRIPTOR) {
        Some(at) => handed.take_unix_listener(at).map_err(SocketError::Handed)?,
        None => None,
    };
    let control = match named(DESCRIPTOR) {
        Some(at) => handed.take_unix_listener(at).map_err(SocketError::Handed)?,
        // Others may be of another kind: they are left alone. What is taken already is not found again.
        None => (0..handed.len()).find_map(|at| handed.take_unix_listener(at).ok().flatten()),
    };
    Ok(Handed { control, view })
}

/// The control socket: the one that was handed over, or one that is bound by its path, whose file lives as long as the
/// second value. To be called within the runtime.
///
/// # Errors
/// [`SocketError`]
pub fn control_socket(
    handed: Option<StdListener>,
    path: &Path,
) -> Result<(UnixListener, Option<Bound>), SocketError> {
    if let Some(listener) = handed {
        // Without this, accepting would block a thread of the runtime.
        let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
        return listener.map(|listener| (listener, None)).map_err(SocketError::Handed);
    }
    let (listener, bound) = bind_path(path, GROUP)?;
    UnixListener::from_std(listener)
        .map(|listener| (listener, Some(bound)))
        .map_err(|source| SocketError::Bind { path: path.to_owned(), source })
}

/// The view socket: the one that was handed over, or, where the daemon bound its control socket itself and there is a
/// group to give it to, one beside it. To be called within the runtime.
///
/// # Errors
/// [`SocketError`]
pub fn view_socket(
    handed: Option<StdListener>,
    control: Option<&Bound>,
) -> Result<Option<(UnixListener, Option<Bound>)>, SocketError> {
    if let Some(listener) = handed {
        let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
        return listener.map(|listener| Some((listener, None))).map_err(SocketError::Handed);
    }
    let Some(control) = control.filter(|_| id_of(VIEW_GROUP).is_some()) else { return Ok(None) };
    let path = control.path.with_file_name(VIEW_NAME);
    let (listener, bound) = bind_path(&path, VIEW_GROUP)?;
    UnixListener::from_std(listener)
        .map(|listener| Some((listener, Some(bound))))
        .map_err(|source| SocketError::Bind { path, source })
}

fn bind_path(path: &Path, group: &str) -> Result<(StdListener, Bound), SocketError> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(|source| SocketError::Folder { path: folder.to_owned(), source })?;
    }
    clear(path)?;
    let bound = || -> io::Result<(StdListener, Bound)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        let bound = Bound { path: path.to_owned(), file: identity(path)? };
        // Whatever the umask: nobody can connect before it listens.
        let mode = if give_to_group(path, group) { 0o660 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        listen(&socket, BACKLOG)?;
        Ok((StdListener::from(socket), bound))
    };
    bound().map_err(|source| SocketError::Bind { path: path.to_owned(), source })
}

/// Removes what a daemon that was killed left behind.
fn clear(path: &Path) -> Result<(), SocketError> {
    let refused = |source| SocketError::Bind { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(refused(e)),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(SocketError::InTheWay(path.to_owned())),
        Ok(_) => loop {
            match UnixStream::connect(path) {
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    return fs::remove_file(path).map_err(refused);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(refused(e)),
                Ok(stream) if stays(&stream) => return Err(SocketError::Answered(path.to_owned())),
                // It was of a process that is going: the next connection is refused.
                Ok(_) => {}
            }
        },
    }
}

/// Whether somebody keeps a connection open. The socket of a process that was killed accepts until the kernel has closed
/// it, and then drops what it accepted; a daemon waits for a request.
fn stays(mut stream: &UnixStream) -> bool {
    if stream.set_read_timeout(Some(STAYS)).is_err() {
        return true;
    }
    match stream.read(&mut [0]) {
        Ok(n) => n > 0,
        Err(e) => !matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
    }
}

/// Gives the socket to the group, where there is one; tells whether it has it. Otherwise it is its owner's alone: the
/// group that it has by itself was never told that it would be root.
fn give_to_group(path: &Path, group: &str) -> bool {
    let Some(id) = id_of(group) else { return false };
    let given = std::os::unix::fs::chown(path, None, Some(id));
    if let Err(error) = &given {
        tracing::warn!(%error, group, path = %path.display(), "the socket cannot be given to its group");
    }
    given.is_ok()
}

fn id_of(group: &str) -> Option<u32> {
    fs::read_to_string("/etc/group").ok().and_then(|groups| group_id(&groups, group))
}

/// `orca:x:995:alice,bob`, as group(5) says.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn it_is_for_owner_and_group_and_goes_when_its_daemon_goes() {
        let folder = folder();
        let path = folder.path().join("made/orca.sock");
        let (listener, bound) = bind_path(&path, GROUP).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if id_of(GROUP).is_some() { 0o660 } else { 0o600 }, "{mode:o}");
        assert!(UnixStream::connect(&path).is_ok());
        assert!(matches!(bind_path(&path, GROUP), Err(SocketError::Answered(_))), "somebody answers");
        drop((listener, bound));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else_is() {
        let folder = folder();
        let path = folder.path().join("orca.sock");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_listener, bound) = bind_path(&path, GROUP).unwrap();

        // The file of the next daemon is not removed by the last one.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "kept").unwrap();
        drop(bound);
        assert!(path.exists());
        assert!(matches!(bind_path(&path, GROUP), Err(SocketError::InTheWay(_))));
    }

    #[test]
    fn the_socket_of_a_process_that_is_going_is_not_another_daemon() {
        let folder = folder();
        let path = folder.path().join("orca.sock");
        let going = StdListener::bind(&path).unwrap();
        // As the kernel does at a process's end: what was accepted is dropped, and the socket with it.
        let killed = std::thread::spawn(move || drop(going.accept()));
        let (_listener, _bound) = bind_path(&path, GROUP).unwrap();
        killed.join().unwrap();
    }

    #[test]
    fn groups() {
        let groups = "root:x:0:\norca-view:x:994:\norca:x:995:alice,bob\nbroken\n";
        assert_eq!(group_id(groups, "orca"), Some(995));
        assert_eq!(group_id(groups, "nobody"), None);
        assert_eq!(group_id(groups, "broken"), None);
    }

    #[test]
    fn nothing_is_handed_over_without_systemd() {
        for names in [Some("control:view"), None] {
            let handed = choose(ListenFd::empty(), names).unwrap();
            assert!(handed.control.is_none() && handed.view.is_none());
        }
    }

    #[tokio::test]
    async fn a_view_socket_is_bound_only_beside_a_bound_control_socket_and_for_its_group() {
        let folder = folder();
        assert!(view_socket(None, None).unwrap().is_none(), "the control socket is systemd's");
        let (_control, bound) = control_socket(None, &folder.path().join("orca.sock")).unwrap();
        let view = view_socket(None, bound.as_ref()).unwrap();
        assert_eq!(view.is_some(), id_of(VIEW_GROUP).is_some());
        assert_eq!(folder.path().join("view.sock").exists(), view.is_some());
    }

    #[tokio::test]
    async fn one_that_is_handed_over_is_taken() {
        let listener = StdListener::bind(folder().path().join("view")).unwrap();
        assert!(matches!(view_socket(Some(listener), None), Ok(Some((_, None)))));
    }
}
