//! Who is who in the cluster: its certificate authority, the identity of this node, and what keeps both alive.
//!
//! ```text
//!   certificate   what a certificate of the cluster says: cluster, role, id, dates; read strictly
//!   ca            the authority of a manager: issues, is rotated, lies in <state>/ca
//!   identity      key, certificate, trusted authorities and who we are, in <state>/identity
//!   renew         when a certificate is renewed, and which one may be
//!   seal          the authority inside a backup, under the recovery key
//!   folder        files that change as one, whatever crashes
//! ```
//!
//! Private keys never leave the machine: a node makes its key and a request here, the authority takes nothing of the
//! request but the public key, and gives the names itself. What travels is PEM text. Nothing in here opens a socket
//! (that is [`crate::net::tls`]) and nothing knows a task; clock and randomness are passed in, except for keys, which
//! the crypto library makes from the kernel's generator.

pub mod ca;
pub mod certificate;
pub mod folder;
pub mod identity;
pub mod pem;
pub mod renew;
pub mod seal;

#[cfg(test)]
mod tests;
