//! The services that there are: they are started, changed when the configuration is read again, and
//! ended.
//!
//! A service that the file does not have any more is ended as at the supervisor's own end. Services that
//! are new wait for that: they may take over its data or its addresses.

mod entry;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, bail};
use handoff_std::host::NamedListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::control::{self, Control};
use super::crowd::Crowd;
use super::door::{self, Door, Guests};
use super::limits;
use super::orders::Order;
use super::reload::{self, Change};
use super::turns::Turns;
use super::{Listening, Open};
use crate::config::{Config, ConfigError, Service, SupervisorSettings};
use entry::{Entry, Running, Site};

/// All services, and who can reach them.
pub(super) struct Roster {
    /// What the configuration is read from again; none if it is the command line.
    file: Option<PathBuf>,
    settings: SupervisorSettings,
    /// In the order of the file.
    services: Vec<Running>,
    /// Those that have been taken out of the file.
    leaving: Vec<Running>,
    /// Those that are started once nobody leaves any more, and what they need is there.
    coming: Vec<Service>,
    /// Those of them for which that is being made, and some that are not wanted any more.
    preparing: Vec<(Service, Preparing)>,
    /// The names of the file, in its order.
    order: Vec<String>,
    /// The file while it is being read.
    reading: Option<JoinHandle<Result<Config, ConfigError>>>,
    control: watch::Sender<Control>,
    socket: Option<(Open, Guests, PathBuf)>,
    /// Those who have asked something and are not answered yet.
    crowd: Crowd,
    listening: Listening,
    turns: Turns,
}

/// What a service needs, while it is being made.
type Preparing = JoinHandle<anyhow::Result<Box<Site>>>;

/// What a roster waits for.
pub(super) enum Event {
    /// The file has been read.
    Read(Result<Result<Config, ConfigError>, JoinError>),
    /// What a new service needs is there, or cannot be had.
    Prepared(Box<Service>, Result<anyhow::Result<Box<Site>>, JoinError>),
    /// The task of a service has ended by itself; its place among the services.
    Ended(usize, Ended),
    /// A service that was taken out has ended; its place among those that leave.
    Left(usize, Ended),
}

type Ended = Result<anyhow::Result<()>, JoinError>;

impl Roster {
    /// Opens the doors, and then starts the services: a path that cannot be bound is found before
    /// anything is started. For each service there is what was inherited for it, and its lock.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn start(
        config: Config,
        file: Option<PathBuf>,
        belongings: Vec<(Vec<NamedListener>, Option<File>)>,
        listening: Listening,
    ) -> anyhow::Result<Self> {
        let settings = config.supervisor;
        let order = config.services.iter().map(|one| one.name.clone());
        let order: Vec<_> = order.collect();
        let crowd = door::crowd();
        let mut entries = Vec::new();
        for (service, (adopted, charge)) in config.services.into_iter().zip(belongings) {
            let site = Site::with(charge, service, &settings, crowd.clone())?;
            entries.push((Entry::open(site, &listening.hub), adopted));
        }
        let served = entries.iter().map(|(entry, _)| entry.served());
        let uids = &settings.allowed_uids;
        let (visitors, history) = (listening.hub.visitors(), listening.history.clone());
        let (control, current) = watch::channel(Control::new(served, uids, visitors, history));
        let mut socket = None;
        if let Some(path) = &settings.socket {
            let guests = Guests::new(&control.borrow().allowed());
            let door = Door::bind(path, guests.clone(), crowd.clone(), control::LINE);
            let door = door.context("socket")?;
            socket = Some((Control::open(current, door), guests, path.clone()));
        }
        // If nothing else would be kept from running, whoever starts us is to see what is wrong.
        let alone = entries.len() == 1;
        listening.list(order.iter().map(String::as_str));
        let turns = Turns::new(settings.handoffs_at_once);
        let begin = |(entry, adopted): (Entry, _)| {
            entry.begin(adopted, alone, &settings, &listening, &turns)
        };
        Ok(Self {
            services: entries.into_iter().map(begin).collect(),
            file,
            leaving: Vec::new(),
            coming: Vec::new(),
            preparing: Vec::new(),
            order,
            reading: None,
            control,
            socket,
            crowd,
            settings,
            listening,
            turns,
        })
    }

    /// Whether there is a service that is attended to.
    pub(super) fn attends(&self) -> bool {
        !self.services.is_empty() || !self.leaving.is_empty()
    }

    /// Begins to read the file again. If that goes on already, it begins anew.
    pub(super) fn read_again(&mut self) {
        self.listening.board.reload_begins();
        let Some(file) = self.file.clone() else {
            tracing::info!(
                "there is no file to be read again: the command line says what is supervised"
            );
            self.listening.board.reload_ends();
            return;
        };
        tracing::info!(file = %file.display(), "reading the configuration again");
        self.reading = Some(spawn_blocking(move || Config::load(&file)));
    }

    /// Waits for something to happen.
    pub(super) async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Event> {
        if let Some(reading) = &mut self.reading
            && let Poll::Ready(read) = Pin::new(reading).poll(cx)
        {
            self.reading = None;
            return Poll::Ready(Event::Read(read));
        }
        for (at, (_, preparing)) in self.preparing.iter_mut().enumerate() {
            if let Poll::Ready(site) = Pin::new(preparing).poll(cx) {
                let (service, _) = self.preparing.remove(at);
                return Poll::Ready(Event::Prepared(service.into(), site));
            }
        }
        for (at, running) in self.services.iter_mut().enumerate() {
            if let Poll::Ready(ended) = Pin::new(&mut running.task).poll(cx) {
                return Poll::Ready(Event::Ended(at, ended));
            }
        }
        for (at, running) in self.leaving.iter_mut().enumerate() {
            if let Poll::Ready(ended) = Pin::new(&mut running.task).poll(cx) {
                return Poll::Ready(Event::Left(at, ended));
            }
        }
        Poll::Pending
    }

    /// Does what an event asks for. Nothing in it waits, so that a signal is heard at any time.
    ///
    /// # Errors
    /// A service's task has ended by itself. The service is not among the others any more.
    pub(super) fn heed(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Read(Ok(Ok(config))) => self.change(config),
            Event::Read(Ok(Err(error))) => {
                // A line for each thing that is wrong, with its place and key.
                for line in error.to_string().lines() {
                    tracing::error!("the configuration is left as it was: {line}");
                }
            }
            Event::Read(Err(error)) => {
                tracing::error!(%error, "the configuration is left as it was");
            }
            Event::Prepared(service, site) => {
                let site = site.context("preparing it has panicked").flatten();
                self.welcome(&service, site);
            }
            Event::Ended(at, ended) => {
                let gone = self.services.remove(at);
                let name = gone.name();
                ended.with_context(|| {
                    format!(
                        "the task of the service {name} has panicked; restart the supervisor, it will \
                         find the daemons"
                    )
                })??;
                bail!(
                    "the task of the service {name} has ended by itself; restart the supervisor, it \
                     will find the daemons"
                );
            }
            Event::Left(at, ended) => {
                let gone = self.leaving.remove(at);
                let name = gone.name();
                match ended.context("its task has panicked").flatten() {
                    Ok(()) => tracing::info!("the service {name} is gone"),
                    Err(error) => tracing::error!("service {name}: {error:#}"),
                }
            }
        }
        self.prepare();
        if self.reading.is_none() && self.coming.is_empty() {
            self.listening.board.reload_ends();
        }
        Ok(())
    }

    /// Another configuration is in force from now on.
    fn change(&mut self, config: Config) {
        for note in &config.notes {
            tracing::warn!("the configuration: {note}");
        }
        let (settings, said) = reload::renewed_settings(&self.settings, config.supervisor);
        self.settings = settings;
        say("supervisor", &said);
        limits::provide(&config.services);
        self.order = config.services.iter().map(|one| one.name.clone()).collect();
        let mut new = config.services;
        for mut running in std::mem::take(&mut self.services) {
            let at = new.iter().position(|one| one.name == running.name());
            if let Some(service) = at.map(|at| new.remove(at)) {
                let (service, said) = reload::renewed(running.service(), service);
                say(running.name(), &said);
                running.renew(service, &self.settings);
                self.services.push(running);
            } else {
                let name = running.name();
                tracing::info!("the service {name} is not in the file any more; ending it");
                running.post([Order::Wind, Order::Stop { keep: false }]);
                self.leaving.push(running);
            }
        }
        self.coming = new;
        self.publish();
        tracing::info!("the configuration has been read again");
    }

    /// Begins to make what the services need that are new, each beside the others. It is begun later if
    /// somebody has it still: a service that leaves, or one that was in the file for a moment.
    fn prepare(&mut self) {
        let is_wanted = |(service, _): &(Service, _)| self.coming.contains(service);
        if !self.leaving.is_empty() || !self.preparing.iter().all(is_wanted) {
            return;
        }
        for service in &self.coming {
            if self.preparing.iter().any(|(one, _)| one == service) {
                continue;
            }
            let others = self.services.iter().map(Running::service);
            let taken = reload::conflict(service, &self.settings, others);
            let (settings, crowd) = (self.settings.clone(), self.crowd.clone());
            let site = {
                let service = service.clone();
                spawn_blocking(move || match taken {
                    Some(why) => Err(anyhow::Error::msg(why)),
                    None => Site::prepare(service, &settings, crowd).map(Box::new),
                })
            };
            self.preparing.push((service.clone(), site));
        }
    }

    /// Starts a service that is new, if it is wanted still, and nobody leaves who may have what it needs:
    /// then it is prepared anew.
    fn welcome(&mut self, service: &Service, site: anyhow::Result<Box<Site>>) {
        let at = self.coming.iter().position(|one| one == service);
        let Some(at) = at.filter(|_| self.leaving.is_empty()) else {
            return;
        };
        self.coming.remove(at);
        let name = &service.name;
        match site {
            Ok(site) => {
                tracing::info!("the service {name} is new; starting it");
                self.listening.list(self.order.iter().map(String::as_str));
                let (settings, listening) = (&self.settings, &self.listening);
                let entry = Entry::open(*site, &listening.hub);
                let running = entry.begin(Vec::new(), false, settings, listening, &self.turns);
                self.services.push(running);
            }
            Err(error) => tracing::error!(
                "the service {name} cannot be started: {error:#}; put that right and reload"
            ),
        }
        self.publish();
    }

    /// Tells everybody who has to know which services there are.
    fn publish(&mut self) {
        let place = |one: &Running| self.order.iter().position(|name| name == one.name());
        self.services.sort_by_key(place);
        let served = self.services.iter().map(Running::served);
        let uids = &self.settings.allowed_uids;
        let control = self.control.borrow().changed(served, uids);
        if let Some((_, guests, path)) = &self.socket
            && let Err(error) = guests.replace(&control.allowed(), path)
        {
            tracing::error!("{error:#}");
        }
        self.control.send_replace(control);
        let known = |name: &&str| {
            let there = self.services.iter().any(|one| one.name() == *name);
            there || self.coming.iter().any(|one| one.name == *name)
        };
        let order = self.order.iter().map(String::as_str);
        self.listening.list(order.filter(known));
    }

    /// Ends the services one after the other, the last one of the file first.
    ///
    /// # Errors
    /// The first daemon that does not die. The others are ended all the same.
    pub(super) async fn wind_up(&mut self, keep: bool) -> anyhow::Result<()> {
        for running in &self.services {
            running.send(Order::Wind).await;
        }
        let mut result = Ok(());
        for running in self.services.iter_mut().rev() {
            running.send(Order::Stop { keep }).await;
            result = result.and(running.ended().await);
        }
        for running in &mut self.leaving {
            result = result.and(running.ended().await);
        }
        result
    }

    /// Closes the doors, after the last answers. Whoever follows what happens is told that nothing more
    /// will.
    pub(super) async fn close(self) {
        drop(self.listening);
        let doors = self.services.into_iter().chain(self.leaving);
        let doors = doors.filter_map(Running::into_door);
        for (close, door) in doors.chain(self.socket.map(|(open, ..)| open)) {
            drop(close);
            let _ = door.await;
        }
    }
}

/// Logs what has changed.
fn say(whom: &str, said: &[Change]) {
    for change in said {
        tracing::info!("{whom}: {change}");
    }
}
