//! Fuzzes `orca_tests::foreign::api_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orca_tests::foreign::api_json(bytes));
