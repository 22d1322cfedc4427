//! The README shows what the program prints.

use std::process::Command;

/// The `console` blocks of the README: a command, and what it printed.
fn examples(readme: &str) -> Vec<(String, String)> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks
        .map(|(block, _)| {
            let (command, output) = block.split_once('\n').expect("a command on a line of its own");
            (command.strip_prefix("$ ckscope ").expect("a prompt").to_owned(), output.to_owned())
        })
        .collect()
}

fn printed(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope"))
        .args(command.split(' '))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TZ", "UTC")
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    // CSV ends its lines as RFC 4180 says, a README as text does.
    String::from_utf8(output.stdout).expect("UTF-8").replace("\r\n", "\n")
}

#[test]
fn the_readme_shows_what_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("a README");
    let examples = examples(&readme);
    assert!(examples.len() >= 5, "the README has examples");
    let mut renewed = readme.clone();
    for (command, shown) in &examples {
        let block = |output: &str| format!("```console\n$ ckscope {command}\n{output}```");
        renewed = renewed.replace(&block(shown), &block(&printed(command)));
    }
    if renewed != readme && std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, &renewed).expect("the README can be written");
        return;
    }
    assert_eq!(readme, renewed, "run the test with UPDATE_README=1 to renew the examples");
}
