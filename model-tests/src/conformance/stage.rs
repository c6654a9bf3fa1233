//! Where a scenario is played: the files, the processes, and the steps that the kit takes one after the other.

mod files;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use handoff_core::wire::{HandoffId, StatusPhase};
use handoff_std::host::control::connect;
use handoff_std::host::process::kill_and_reap;
use handoff_std::host::{ControlListener, Process};
use handoff_std::{Child, DataDirLock, Spawned};
use rustix::process::{Pid, Signal, WaitOptions};
use tempfile::TempDir;

use super::cast::{Answer, Called, StandIn};
use super::log::{Log, PATIENCE, Place, Stopped, read_line, readable};
use super::part::{ADAPTER, CLIENT, INCUMBENT, SCENARIO, SUBJECT, spec};
use super::{Peer, Scenario, recordings};

/// Between two looks at what cannot be waited for.
const MOMENT: Duration = Duration::from_millis(2);

enum Event {
    Call(String, UnixStream),
    Left(String),
    Here(String, u32, UnixStream, Option<OwnedFd>),
}

/// One scenario while it is played.
pub struct Stage {
    adapter: &'static str,
    scenario: &'static Scenario,
    /// Removed with everything in it.
    _dir: TempDir,
    place: Place,
    listener: UnixListener,
    events: VecDeque<Event>,
    log: Log,
    subject: Option<Child>,
    lock: Option<DataDirLock>,
    path: Option<ControlListener>,
    door: TcpListener,
}

impl Stage {
    pub(super) fn new(adapter: &'static str, scenario: &'static Scenario) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("kit-").tempdir()?;
        let place = Place::at(dir.path().to_path_buf());
        let listener = UnixListener::bind(place.stage())?;
        listener.set_nonblocking(true)?;
        fs::create_dir(place.data())?;
        Ok(Self {
            adapter,
            scenario,
            place,
            _dir: dir,
            listener,
            events: VecDeque::new(),
            log: Log::default(),
            subject: None,
            lock: None,
            path: None,
            door: TcpListener::bind("127.0.0.1:0")?,
        })
    }

    fn spec(&self) -> handoff_std::SpawnSpec {
        let more = [(ADAPTER, self.adapter), (SCENARIO, self.scenario.name)];
        spec(SUBJECT, self.place.dir(), &more)
    }

    /// The pid of the subject.
    fn pid(&self) -> u32 {
        self.subject.as_ref().map_or(0, Child::id)
    }

    /// Start the incumbent, which is the subject.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn incumbent(&mut self) -> Result<(), Stopped> {
        let door = [("door", self.door.as_fd())];
        let started = self.spec().cold_start(&door).map_err(|e| e.to_string())?;
        self.subject = Some(started.child);
        Ok(())
    }

    /// Start the successor, which is the subject, with its channel.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn successor(&mut self) -> Result<Peer, Stopped> {
        let door = [("door", self.door.as_fd())];
        let (Spawned { child, process }, channel) =
            self.spec().successor(&door).map_err(|e| e.to_string())?;
        self.subject = Some(child);
        let pids = (std::process::id(), process.pid);
        Peer::new("S", "N", pids, channel, self.log.clone())
    }

    /// Start the supervisor, which is the subject.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn supervisor(&mut self) -> Result<(), Stopped> {
        let started = self.spec().cold_start(&[]).map_err(|e| e.to_string())?;
        self.subject = Some(started.child);
        Ok(())
    }

    /// Connect to the control path as a supervisor, as soon as somebody listens there.
    ///
    /// # Errors
    /// Nobody does.
    pub fn connect(&mut self, us: &'static str, them: &'static str) -> Result<Peer, Stopped> {
        let log = self.log.clone();
        self.connect_with(us, them, log)
    }

    /// Connect, hear Hello, and freeze the subject, all within this time.
    ///
    /// # Errors
    /// The subject does not say Hello.
    pub fn connect_and_freeze(
        &mut self,
        us: &'static str,
        them: &'static str,
        within: Duration,
    ) -> Result<Peer, Stopped> {
        loop {
            let (log, started) = (Log::default(), Instant::now());
            let mut peer = self.connect_with(us, them, log.clone())?;
            peer.hears()?;
            self.signal(Signal::STOP)?;
            self.wait_stopped()?;
            if started.elapsed() < within {
                peer.log = self.log.clone();
                for line in log.take() {
                    self.log.line(format_args!("{line}"));
                }
                self.log.line(format_args!("{them}         freezes"));
                return Ok(peer);
            }
            self.signal(Signal::CONT)?;
        }
    }

    /// Let a subject go on that was frozen, after this time.
    ///
    /// # Errors
    /// It has gone.
    pub fn thaws(&mut self, who: &str, after: Duration) -> Result<(), Stopped> {
        std::thread::sleep(after);
        self.log.line(format_args!("{who}         thaws"));
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Stopped> {
        let child = self.subject.as_ref().ok_or("there is no subject")?;
        Ok(child.signal(signal)?)
    }

    fn wait_stopped(&self) -> Result<(), Stopped> {
        let child = self.subject.as_ref().ok_or("there is no subject")?;
        let pid = Pid::from_raw(child.id().cast_signed());
        rustix::process::waitpid(pid, WaitOptions::UNTRACED).map_err(io::Error::from)?;
        Ok(())
    }

    fn connect_with(
        &mut self,
        us: &'static str,
        them: &'static str,
        log: Log,
    ) -> Result<Peer, Stopped> {
        let until = Instant::now() + PATIENCE;
        loop {
            match connect(&self.place.control()) {
                Ok((socket, _)) => {
                    log.line(format_args!("{us} -> {them}  (connects)"));
                    let pids = (std::process::id(), self.pid());
                    return Peer::new(us, them, pids, socket, log);
                }
                Err(e) if Instant::now() > until => {
                    return Err(format!("{us} cannot connect: {e}").into());
                }
                Err(_) => self.pause()?,
            }
        }
    }

    /// Ask whoever has the control path how it is, until it is at this. Nobody sees it asked.
    ///
    /// # Errors
    /// It never is.
    pub fn is(&mut self, at: StatusPhase) -> Result<(), Stopped> {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = connect(&self.place.control())
                .map_err(Stopped::from)
                .and_then(|(socket, _)| {
                    Peer::new("A", "O", (0, 0), socket, Log::default())?.asks_status()
                });
            match asked {
                Ok(phase) if phase == at => break,
                _ if Instant::now() > until => return Err(format!("nobody is {at}").into()),
                _ => self.pause()?,
            }
        }
        self.log.line(format_args!("status    {at}"));
        Ok(())
    }

    /// The handoff that a supervisor has named.
    pub fn id(&self) -> HandoffId {
        self.log.id().unwrap_or(HandoffId::from_bytes([0; 16]))
    }

    /// A moment; for what cannot be waited for in another way.
    fn pause(&mut self) -> Result<(), Stopped> {
        std::thread::sleep(MOMENT);
        if let Some(child) = &mut self.subject
            && let Some(status) = child.try_wait()?
        {
            return Err(format!("the subject has ended with {status}").into());
        }
        Ok(())
    }

    /// Start a process in the incumbent's place, which has the control path and not the lock.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stand_in_incumbent(&mut self) -> Result<StandIn, Stopped> {
        let spec = spec(INCUMBENT, self.place.dir(), &[]);
        let started = spec.cold_start(&[]).map_err(|e| e.to_string())?;
        let mut stand_in = self.arrives("incumbent", "O")?;
        stand_in.child = Some(started.child);
        Ok(stand_in)
    }

    /// Connect to the control path, which somebody has, from a process other than the kit's. That goes at once; its
    /// session is the kit's.
    ///
    /// # Errors
    /// It cannot be started, or cannot connect.
    pub fn connect_from_elsewhere(
        &mut self,
        us: &'static str,
        them: &'static str,
    ) -> Result<Peer, Stopped> {
        let spec = spec(CLIENT, self.place.dir(), &[]);
        let started = spec.cold_start(&[]).map_err(|e| e.to_string())?;
        let mut client = self.arrives(CLIENT, us)?;
        client.child = Some(started.child);
        let fd = client.fd.take().ok_or("no session came")?;
        self.log.line(format_args!("{us} -> {them}  (connects)"));
        let pids = (client.pid(), self.pid());
        Peer::new(us, them, pids, fd.into(), self.log.clone())
    }

    /// Wait for the process that the subject starts as its successor.
    ///
    /// # Errors
    /// It starts none.
    pub fn spawned(&mut self) -> Result<StandIn, Stopped> {
        let stand_in = self.arrives("successor", "N")?;
        self.log.line(format_args!("S         starts N"));
        Ok(stand_in)
    }

    /// Wait for the daemon that the subject starts afresh.
    ///
    /// # Errors
    /// It starts none.
    pub fn started_afresh(&mut self) -> Result<(), Stopped> {
        self.arrives("daemon", "D")?;
        self.log
            .line(format_args!("S         starts the daemon afresh"));
        Ok(())
    }

    fn arrives(&mut self, wanted: &str, who: &'static str) -> Result<StandIn, Stopped> {
        let here = |event: &Event| matches!(event, Event::Here(what, ..) if what == wanted);
        let event = self.event(&format!("no {wanted} is started"), true, here)?;
        let Event::Here(_, pid, life, fd) = event else {
            return Err("not a process".into());
        };
        Ok(StandIn {
            who,
            process: Process::of(pid).unwrap_or(Process { pid, start: 0 }),
            life,
            fd,
            child: None,
            log: self.log.clone(),
        })
    }

    /// Wait for the next hook to be called.
    ///
    /// # Errors
    /// None is.
    pub fn called(&mut self) -> Result<Called, Stopped> {
        let event = self.event("no hook is called", false, |event| {
            matches!(event, Event::Call(..))
        })?;
        let Event::Call(what, socket) = event else {
            return Err("not a hook".into());
        };
        self.log.line(format_args!("hook      {what}"));
        let log = self.log.clone();
        Ok(Called { what, socket, log })
    }

    /// Wait for the next hook, and answer it.
    ///
    /// # Errors
    /// None is called.
    pub fn hook(&mut self, answer: Answer) -> Result<(), Stopped> {
        self.called()?.answer(answer)
    }

    /// Wait until the subject has left.
    ///
    /// # Errors
    /// It does not.
    pub fn leaves(&mut self) -> Result<(), Stopped> {
        let event = self.event("the subject does not leave", false, |event| {
            matches!(event, Event::Left(_))
        })?;
        if let Event::Left(outcome) = event {
            self.log.line(format_args!("outcome   {outcome}"));
        }
        Ok(())
    }

    /// Waits for something to be told. `outlives`: it may be told after the end of the subject.
    fn event(
        &mut self,
        otherwise: &str,
        outlives: bool,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Stopped> {
        let until = Instant::now() + PATIENCE;
        loop {
            let at = self.events.iter().position(&wanted);
            if let Some(event) = at.and_then(|at| self.events.remove(at)) {
                return Ok(event);
            }
            if self.gather()? {
                continue;
            }
            // What a supervisor has started may be heard of after its end.
            if !outlives
                && let Some(child) = &mut self.subject
                && let Some(status) = child.try_wait()?
                && !self.gather()?
                && !self.events.iter().any(&wanted)
            {
                return Err(format!("{otherwise}, and the subject ended with {status}").into());
            }
            let soon = Instant::now() + Duration::from_millis(50);
            if !readable(self.listener.as_fd(), soon) && Instant::now() > until {
                return Err(otherwise.into());
            }
        }
    }

    /// Takes what the processes have told, and says whether there was any.
    fn gather(&mut self) -> Result<bool, Stopped> {
        let mut any = false;
        while let Ok((socket, _)) = self.listener.accept() {
            any = true;
            // It was killed before it could say what it wanted.
            let Ok((line, mut fds)) = read_line(&socket) else {
                continue;
            };
            let (kind, what) = line.split_once(' ').unwrap_or((&line, ""));
            self.events.push_back(match kind {
                "call" => Event::Call(what.to_owned(), socket),
                "left" => Event::Left(what.to_owned()),
                _ => {
                    let (what, pid) = what.split_once(' ').unwrap_or_default();
                    let pid = pid.parse().map_err(|_| format!("not a pid: {line}"))?;
                    Event::Here(what.to_owned(), pid, socket, fds.pop())
                }
            });
        }
        Ok(any)
    }

    /// Plays the scenario to its end, and gives what was seen. What was recorded is kept, if anything was.
    pub(super) fn play(mut self) -> Vec<String> {
        if let Err(Stopped(why)) = (self.scenario.play)(&mut self) {
            self.log.line(format_args!("STOPPED   {why}"));
        }
        if let Some(child) = &mut self.subject {
            let _ = kill_and_reap(child, PATIENCE);
        }
        let _ = self.gather();
        for event in self.events.drain(..) {
            match event {
                Event::Call(what, _) => self.log.line(format_args!("BESIDES   hook {what}")),
                Event::Left(how) => self.log.line(format_args!("BESIDES   left, {how}")),
                Event::Here(what, ..) => self.log.line(format_args!("BESIDES   started {what}")),
            }
        }
        if self.place.recordings().exists()
            && let Err(why) = recordings::keep(self.scenario, &self.place.recordings())
        {
            self.log.line(format_args!("STOPPED   {why}"));
        }
        self.log.take()
    }
}
