//! The daemon as a whole, in this process: real sockets and stores, and no engine.

mod control;
mod disk_full;
mod hostile;
mod running;
mod view;
