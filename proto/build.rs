//! Compiles the `.proto` files with protox, so that no protoc has to be installed. Lists the calls that may be made twice, too.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["recommendations.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let repeatable = format!("&{:?}", repeatable_calls(&descriptors));
    fs::write(out.join("repeatable_calls.rs"), repeatable)?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

/// Returns the paths of the calls whose `idempotency_level` says that they have the same effect when they are made twice.
fn repeatable_calls(descriptors: &FileDescriptorSet) -> Vec<String> {
    let mut calls = vec![];
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let options = method.options.as_ref();
                let level = options.map(|options| options.idempotency_level());
                if level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown) {
                    let names = (file.package(), service.name(), method.name());
                    calls.push(format!("/{}.{}/{}", names.0, names.1, names.2));
                }
            }
        }
    }
    calls
}
