//! Transition tables: plain data that the machines run on, and that documents are made from.

use core::fmt;

/// One row: in each of the phases `from`, each of the cues `on` performs `act` in order and leads to
/// `to`.
#[derive(Clone, Copy, Debug)]
pub struct Row<P: 'static, C: 'static, A: 'static> {
    /// The phases in which the row applies.
    pub from: &'static [P],
    /// The cues that it answers.
    pub on: &'static [C],
    /// The phase it leads to; `None` stays.
    pub to: Option<P>,
    /// What is done, in order.
    pub act: &'static [A],
    /// The rule or section of the protocol that asks for it.
    pub rule: &'static str,
}

/// A row that leads to the phase `to`.
pub(crate) const fn row<P, C, A>(
    from: &'static [P],
    on: &'static [C],
    act: &'static [A],
    to: P,
    rule: &'static str,
) -> Row<P, C, A> {
    Row {
        from,
        on,
        to: Some(to),
        act,
        rule,
    }
}

/// A row that stays in the phase.
pub(crate) const fn stay<P, C, A>(
    from: &'static [P],
    on: &'static [C],
    act: &'static [A],
    rule: &'static str,
) -> Row<P, C, A> {
    Row {
        from,
        on,
        to: None,
        act,
        rule,
    }
}

/// The row for `cue` in `phase`. A table has at most one.
pub fn find<'t, P: PartialEq, C: PartialEq, A>(
    table: &'t [Row<P, C, A>],
    phase: &P,
    cue: &C,
) -> Option<&'t Row<P, C, A>> {
    table
        .iter()
        .find(|row| row.from.contains(phase) && row.on.contains(cue))
}

/// Which rows of a table were ever taken, in this process: for tests that want every row taken.
#[cfg(feature = "trace")]
#[derive(Debug)]
pub struct Taken([core::sync::atomic::AtomicBool; 128]);

#[cfg(feature = "trace")]
impl Taken {
    pub(crate) const fn new() -> Self {
        Self([const { core::sync::atomic::AtomicBool::new(false) }; 128])
    }

    pub(crate) fn mark<P, C, A>(&self, table: &[Row<P, C, A>], row: &Row<P, C, A>) {
        let at = table.iter().position(|other| core::ptr::eq(other, row));
        if let Some(flag) = at.and_then(|at| self.0.get(at)) {
            flag.store(true, core::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Whether the row at this place of the table was taken.
    pub fn was(&self, at: usize) -> bool {
        let flag = self.0.get(at);
        flag.is_some_and(|flag| flag.load(core::sync::atomic::Ordering::Relaxed))
    }
}

/// Writes a table as Markdown, a row each.
///
/// # Errors
/// When `out` refuses to be written to.
pub fn markdown<P: fmt::Debug, C: fmt::Debug, A: fmt::Debug>(
    table: &[Row<P, C, A>],
    out: &mut impl fmt::Write,
) -> fmt::Result {
    writeln!(out, "| in | on | does | then | rule |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for row in table {
        write!(out, "| ")?;
        list(row.from, out)?;
        write!(out, " | ")?;
        list(row.on, out)?;
        write!(out, " | ")?;
        list(row.act, out)?;
        match &row.to {
            Some(to) => write!(out, " | {to:?}")?,
            None => write!(out, " | stays")?,
        }
        writeln!(out, " | {} |", row.rule)?;
    }
    Ok(())
}

fn list(items: &[impl fmt::Debug], out: &mut impl fmt::Write) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            write!(out, ", ")?;
        }
        write!(out, "{item:?}")?;
    }
    Ok(())
}

/// Declares a field-less enum together with the list of all its values.
macro_rules! labels {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$item_doc:meta])* $item:ident,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            serde::Serialize,
            serde::Deserialize,
        )]
        $vis enum $name { $($(#[$item_doc])* $item,)* }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$item,)*];

            /// The value's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$item => stringify!($item),)* }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use labels;
