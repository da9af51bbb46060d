//! The judges of orca: fakes of what it stands on, and worlds in which its parts meet.
//!
//! Nothing in here ships. A fake behaves as the real thing does where orca can see it, and can be told to fail.

pub mod crowd;
pub mod fake_engine;
pub mod foreign;
pub mod world;
