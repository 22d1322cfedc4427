//! Protobuf schemas of vendors: files named on the command line, compiled.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use miette::Diagnostic as _;
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
    compiled.map_err(|error| anyhow!("{}: {error}", place(file, &error)))
}

/// Where the fault is: `file:line:column`, as far as the compiler says.
fn place(file: &Path, error: &protox::Error) -> String {
    // Its own name of the file leaves out the folder that it was found in.
    let name = match error.file() {
        Some(imported) if !file.ends_with(imported) => imported.to_owned(),
        _ => file.display().to_string(),
    };
    let label = error.labels().and_then(|mut labels| labels.next());
    let contents = label.zip(error.source_code());
    let contents = contents.and_then(|(label, source)| {
        let contents = source.read_span(label.inner(), 0, 0).ok()?;
        Some((contents.line() + 1, contents.column() + 1))
    });
    contents.map_or(name.clone(), |(line, column)| format!("{name}:{line}:{column}"))
}
