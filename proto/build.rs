//! Compiles the `.proto` files with protox, so that no protoc has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["recommendations.proto"], ["proto"])?;
    let file = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(file, descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
