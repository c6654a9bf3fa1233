//! Every file of the corpus through its target, with any compiler. A find of the fuzzer that has been
//! mended is kept here, under a name that says what it was.

use std::fs;
use std::path::Path;

use handoff_fuzz::TARGETS;

#[test]
fn every_target_lives_through_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let dir = corpus.join(name);
        let files = fs::read_dir(&dir).expect("a corpus for every target");
        let mut count = 0;
        for file in files {
            let path = file.expect("readable").path();
            println!("{}", path.display());
            target(&fs::read(&path).expect("readable"));
            count += 1;
        }
        assert!(count >= 10, "{name} has {count} seeds");
    }
}
