//! Takes the symbols out of the released program. The profile asks for it, and cargo forgets it for a package whose
//! optimisation has a setting of its own, as this one's has.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
}
