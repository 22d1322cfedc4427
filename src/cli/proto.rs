//! Protobuf schemas of vendors: files named on the command line, compiled.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use prost_reflect::DescriptorPool;

/// Bytes of a schema file: thousands of times what a service needs.
const MAX_FILE: u64 = 16 << 20;

/// Compiles `file`; what it imports is looked for in `includes`, and beside it.
///
/// # Errors
/// A file that cannot be read or does not compile, with line and column.
pub fn compile(file: &Path, includes: &[PathBuf]) -> anyhow::Result<DescriptorPool> {
    let name = file.display();
    let size = std::fs::metadata(file).map_err(|error| anyhow!("{name}: {error}"))?.len();
    if size > MAX_FILE {
        bail!("{name}: {size} bytes; a schema file has at most {MAX_FILE}");
    }
    let beside = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let paths = includes.iter().map(PathBuf::as_path).chain([beside]);
    let compiled = protox::Compiler::new(paths).and_then(|mut compiler| {
        compiler.include_imports(true).open_file(file)?;
        Ok(compiler.descriptor_pool())
    });
    compiled.map_err(|error| anyhow!("{}", explain(&name.to_string(), &error)))
}

/// What is wrong and where, in the manner of our own errors.
fn explain(name: &str, error: &protox::Error) -> String {
    let text = error.to_string();
    if text.contains(".proto:") || text.contains(name) { text } else { format!("{name}: {text}") }
}
