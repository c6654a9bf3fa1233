//! The README shows the example as it is.

#[test]
fn the_readme_shows_the_example_daemon() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/counter.rs");
    assert!(
        readme.contains(example.trim_end()),
        "copy runtime-std/examples/counter.rs into the README's code block"
    );
}
