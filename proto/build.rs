//! Compiles the `.proto` files with protox, so that no protoc has to be installed. Lists the calls that there are, those that may be made twice, and those that change nothing.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, method_options::IdempotencyLevel};

/// The files, each with one package of its name.
const FILES: [&str; 2] = ["recommendations", "accounts"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut every = vec![];
    let mut repeatable = vec![];
    let mut reading = vec![];
    for name in FILES {
        let descriptors = protox::compile([format!("{name}.proto")], ["proto"])?;
        fs::write(out.join(format!("{name}.bin")), descriptors.encode_to_vec())?;
        every.extend(calls(&descriptors, |_| true));
        repeatable.extend(calls(&descriptors, is_repeatable));
        reading.extend(calls(&descriptors, |method| {
            level(method) == Some(IdempotencyLevel::NoSideEffects)
        }));
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    fs::write(out.join("calls.rs"), format!("&{every:?}"))?;
    fs::write(out.join("repeatable_calls.rs"), format!("&{repeatable:?}"))?;
    fs::write(out.join("reading_calls.rs"), format!("&{reading:?}"))?;
    Ok(())
}

/// Returns the paths of the calls that are `meant`.
fn calls(
    descriptors: &FileDescriptorSet,
    meant: fn(&MethodDescriptorProto) -> bool,
) -> Vec<String> {
    let mut calls = vec![];
    for file in &descriptors.file {
        for service in &file.service {
            for method in service.method.iter().filter(|method| meant(method)) {
                let names = (file.package(), service.name(), method.name());
                calls.push(format!("/{}.{}/{}", names.0, names.1, names.2));
            }
        }
    }
    calls
}

/// Whether the `idempotency_level` of a call says that it has the same effect when it is made twice.
fn is_repeatable(method: &MethodDescriptorProto) -> bool {
    level(method).is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown)
}

fn level(method: &MethodDescriptorProto) -> Option<IdempotencyLevel> {
    let options = method.options.as_ref();
    options.map(|options| options.idempotency_level())
}
