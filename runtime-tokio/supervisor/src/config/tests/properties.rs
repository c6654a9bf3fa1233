//! Whatever stands in a file, it is read or refused with a place, and nothing panics.

use proptest::prelude::*;

use super::*;

/// Lines that are in a configuration, and values that are in the wrong one.
fn lines() -> impl Strategy<Value = String> {
    let known: Vec<&'static str> = EXAMPLE.lines().chain(V1.lines()).collect();
    let values = vec![
        "0",
        "-1",
        "1.5",
        "nan",
        "0o660",
        "99999999999999999999",
        "\"\"",
        "\"\\u0000\"",
        "\"ä\"",
        "[]",
        "[[]]",
        "{}",
        "{ a = 1 }",
        "true",
        "1979-05-27",
        "\"1y\"",
        "\"0s\"",
        "[1, \"x\"]",
        "'unix:'",
        "'unix:/'",
        "'http://'",
        "",
        "\"",
        "[",
    ];
    let line = prop::sample::select(known.clone());
    let key = prop::sample::select(known);
    let value = prop::sample::select(values);
    prop_oneof![
        4 => line.prop_map(str::to_owned),
        2 => (key, value).prop_map(|(line, value)| {
            let key = line.split('=').next().unwrap_or_default();
            format!("{key}= {value}")
        }),
        1 => ".{0,20}",
    ]
}

fn whatever_happens(text: &str) {
    for machine in [ROOT, SOMEBODY] {
        match Config::read(text, Path::new("/etc/handoff"), &machine) {
            Ok(config) => {
                assert!(!config.services.is_empty());
                for service in &config.services {
                    let _ = service.handoff(service.spawn(service.binary.clone()));
                }
                let _ = check::summary(&config);
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                let lines = text.matches('\n').count() + 1;
                for problem in problems {
                    assert!((1..=lines).contains(&problem.place.line), "{problem}");
                    assert!(!problem.found.is_empty() && !problem.expected.is_empty());
                    assert!(!problem.to_string().contains('\n'), "{problem}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        whatever_happens(&text);
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(lines(), 0..40)) {
        whatever_happens(&lines.join("\n"));
    }

    #[test]
    fn an_example_with_a_line_that_is_not_its_own(
        at in 0..EXAMPLE.lines().count(), line in lines(), replaced in any::<bool>()
    ) {
        let mut lines: Vec<_> = EXAMPLE.lines().collect();
        if replaced {
            lines[at] = &line;
        } else {
            lines.insert(at, &line);
        }
        whatever_happens(&lines.join("\n"));
    }

    #[test]
    fn an_example_that_ends_early(at in 0..EXAMPLE.len()) {
        whatever_happens(&EXAMPLE[..at]);
    }
}
