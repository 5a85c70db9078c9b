//! Writes `src/serving/grpc/generated` from `inference.proto`, or checks with `--check` that it is written.
//!
//! ```text
//! cargo run --manifest-path tests/codegen/Cargo.toml [-- --check]
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let check = std::env::args().any(|argument| argument == "--check");
    let grpc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/serving/grpc");
    let fresh = std::env::temp_dir().join(format!("fourfold-codegen-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    let written = generate(&grpc, &fresh).and_then(|names| {
        let mut stale = Vec::new();
        for name in names {
            let (from, to) = (fresh.join(&name), grpc.join("generated").join(&name));
            let new = fs::read(&from)?;
            if fs::read(&to).ok().as_ref() == Some(&new) {
                continue;
            }
            if !check {
                fs::write(&to, new)?;
            }
            stale.push(name);
        }
        Ok(stale)
    });
    fs::remove_dir_all(&fresh)?;
    let stale = written?;
    match (check, stale.is_empty()) {
        (_, true) => println!("src/serving/grpc/generated is as its .proto says"),
        (false, false) => println!("written: {}", stale.join(", ")),
        (true, false) => {
            return Err(format!("not as the .proto says: {}", stale.join(", ")).into());
        }
    }
    Ok(())
}

/// Generates into a directory; the names of its files.
fn generate(grpc: &Path, into: &PathBuf) -> Result<Vec<String>, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([grpc])?;
    compiler.include_source_info(true);
    compiler.open_file("inference.proto")?;
    // With the comments for the code, without them for the clients.
    let with_comments = compiler.file_descriptor_set();
    let mut descriptors = with_comments.clone();
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(into.join("inference.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .out_dir(into)
        // Raw tensors are looked at where they came in.
        .bytes(".inference")
        .btree_map(".inference")
        .compile_fds(with_comments)?;
    Ok(vec!["inference.bin".to_owned(), "inference.rs".to_owned()])
}
