//! Tells the crate at which level it is compiled: nothing else says so, `debug_assertions` least of all.

fn main() {
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo::rustc-env=FOURFOLD_KERNELS_OPT_LEVEL={level}");
    println!("cargo::rerun-if-changed=build.rs");
}
