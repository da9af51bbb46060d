//! How things are said: standard output carries data, standard error everything else.
//!
//! Nothing outside this folder writes to either. [`printer::Printer`] is the way out; [`table`] and
//! [`json`] are the forms of data, [`progress`] is what moves while one waits, [`error`] is how a failure
//! looks, and [`words`] turns values into words (states, ages, rates).

pub mod error;
pub mod explanation;
pub mod json;
pub mod printer;
pub mod progress;
pub mod table;
pub mod words;
