//! Limits, writes and files of recordings.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use handoff_core::record::{DeedOf, Ending, Recording, Watcher, replay};
use handoff_core::{Inline, Machine, Successor, SuccessorConfig};

use super::*;

/// A file in memory, which may be full.
#[derive(Clone, Default)]
struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    writes: Arc<Mutex<usize>>,
    full: Arc<Mutex<bool>>,
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.full.lock().unwrap() {
            return Err(ErrorKind::StorageFull.into());
        }
        *self.writes.lock().unwrap() += 1;
        self.bytes.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

struct Silent;

impl Watcher<Successor, 1> for Silent {
    fn did(&mut self, _: Option<&DeedOf<'_, Successor, 1>>, _: &DeedOf<'_, Successor, 1>) {}
}

fn replayed(bytes: &[u8]) -> (usize, Ending) {
    let recording = Recording::open(bytes).unwrap();
    let replayed = replay::<Successor, Inline, 1>(&recording, &mut Silent).unwrap();
    (replayed.inputs, replayed.ending)
}

/// A successor that starts and is told nothing but that time passes; flushed after every `flush`
/// inputs.
fn run(out: impl Write + Send + 'static, limit: u64, flush: u64) -> io::Result<Recorder> {
    let config = SuccessorConfig::default();
    let mut recorder = Recorder::new::<Successor, Inline, 1>(out, limit, &config, b"a test")?;
    let mut machine = Machine::<Successor, Inline, 1>::new(config);
    for at in 0..40 {
        let now = Instant::from_nanos(at * 1_000_000_000);
        let input = match at {
            0 => Input::Start,
            _ => Input::Deadline,
        };
        let mut turn = machine.handle(now, input).unwrap();
        let taken = (turn.consumed(), turn.kept());
        recorder.handed::<Successor, 1>(now, &input, taken);
        loop {
            let step = turn.next();
            recorder.step(&step);
            if !matches!(step, Step::Do(_)) {
                break;
            }
        }
        if at % flush == flush - 1 {
            recorder.flush();
        }
    }
    Ok(recorder)
}

#[test]
fn it_never_grows_beyond_its_limit_and_says_that_it_has_stopped() {
    let whole = Memory::default();
    drop(run(whole.clone(), 1 << 20, 1).unwrap());
    let whole = whole.bytes();
    assert_eq!(replayed(&whole), (40, Ending::Whole));
    let front = Recording::open(&whole).unwrap();
    let front = front.read::<Successor, 1>().unwrap().1.at();

    for flush in [1, 3, 100] {
        for limit in 0..=whole.len() + 1 {
            let memory = Memory::default();
            let begun = run(memory.clone(), limit.try_into().unwrap(), flush);
            assert_eq!(begun.is_ok(), limit > front, "there is room for the front");
            let Ok(recorder) = begun else { continue };
            drop(recorder);
            let bytes = memory.bytes();
            assert!(bytes.len() <= limit);
            let (inputs, ending) = replayed(&bytes);
            if limit > whole.len() {
                assert_eq!((inputs, ending), (40, Ending::Whole));
            } else {
                assert_eq!(ending, Ending::Full, "{limit}");
                assert!(inputs < 40);
                assert!(whole.starts_with(&bytes[..bytes.len() - 1]));
            }
        }
    }
}

#[test]
fn turns_between_two_flushes_are_one_write() {
    let memory = Memory::default();
    drop(run(memory.clone(), 1 << 20, 10).unwrap());
    assert_eq!(*memory.writes.lock().unwrap(), 1 + 4, "and the front");
}

#[test]
fn a_file_that_cannot_be_written_ends_the_recording_and_nothing_else() {
    let memory = Memory::default();
    let mut recorder = run(memory.clone(), 1 << 20, 10).unwrap();
    let before = memory.bytes();
    *memory.full.lock().unwrap() = true;
    recorder.handed::<Successor, 1>(Instant::default(), &Input::Deadline, (0, false));
    recorder.flush();
    *memory.full.lock().unwrap() = false;
    recorder.handed::<Successor, 1>(Instant::default(), &Input::Deadline, (0, false));
    drop(recorder);
    assert_eq!(memory.bytes(), before);
}

#[test]
fn every_machine_has_a_file_of_its_own_that_nobody_else_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let recordings = Recordings::new(dir.path().join("a/b"));
    let config = SuccessorConfig::default();
    for _ in 0..20 {
        assert!(recordings.begin::<Successor, Inline, 1>(&config).is_some());
    }
    let files: Vec<_> = recordings.dir().read_dir().unwrap().collect();
    assert_eq!(files.len(), 20);
    for file in files {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let end = format!("-successor-{}.handoff", std::process::id());
        assert!(name.ends_with(&end), "{name}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            replayed(&std::fs::read(file.path()).unwrap()),
            (0, Ending::Whole)
        );
    }
    let dir = recordings.dir().metadata().unwrap();
    assert_eq!(dir.permissions().mode() & 0o777, 0o700);

    std::fs::write(recordings.dir().join("file"), "").unwrap();
    let blocked = Recordings::new(recordings.dir().join("file"));
    assert!(blocked.begin::<Successor, Inline, 1>(&config).is_none());
    let tiny = recordings.with_limit(10);
    assert!(tiny.begin::<Successor, Inline, 1>(&config).is_none());
}
