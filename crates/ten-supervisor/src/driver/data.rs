//! Data given up and brought back: when it may be, and for whom.

use std::mem;

use ten_domain::{InstanceName, Weight};
use ten_store::Origin;
use tokio::sync::oneshot;

use super::Driver;
use crate::{Denied, Done, data::PutBack, machine::Phase};

impl Driver {
    /// Nothing of its process is left: carries out what operators ordered meanwhile.
    pub(super) fn discard(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if instance.process.is_none() {
            mem::take(&mut instance.discards).into_iter().for_each(|discard| discard.carry_out());
        }
    }

    pub(super) fn restore(
        &mut self,
        name: &InstanceName,
        back: PutBack,
        reply: oneshot::Sender<Result<Done, Denied>>,
    ) {
        let restored = self.try_restore(name, back);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(restored.map(|()| Done::Did));
    }

    /// One that was removed is known again afterwards.
    fn try_restore(&mut self, name: &InstanceName, back: PutBack) -> Result<(), Denied> {
        if self.closing.is_some() {
            return Err(Denied::ShuttingDown);
        }
        let unknown = || Denied::UnknownService(name.service.clone());
        let spec = self.spec(name).ok_or_else(unknown)?;
        let Some(instance) = self.instances.get(name) else {
            self.census.operator_creates(&spec)?;
            back.carry_out()?;
            self.create(spec, name, Weight::FULL, false);
            self.write_down(name, Origin::Operator);
            return Ok(());
        };
        let rests = matches!(instance.machine.phase(), Phase::Sleeping | Phase::Failed);
        if !rests || instance.process.is_some() {
            return Err(Denied::Awake(name.clone()));
        }
        back.carry_out()
    }
}
