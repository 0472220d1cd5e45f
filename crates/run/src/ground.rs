//! What a start is begun on, before it is known what is to run: its network and
//! the first steps, which make it. The other steps are `plan`'s.

use std::marker::PhantomData;

use ounce_linux::namespace::Namespaces;
use ounce_linux::step::Step;

use crate::spec::{Network, Spec};

/// What has to be known of a container before its first steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ground {
    pub(crate) network: Network,
    /// Whether everybody may bind ports below 1024: that takes the kernel the
    /// longer, the more network namespaces there are.
    pub(crate) low_ports: bool,
}

impl Ground {
    /// The least that will do.
    pub(crate) fn of(spec: &Spec) -> Self {
        Self {
            network: spec.network,
            low_ports: spec.low_ports,
        }
    }

    /// Whether a container of this spec can be started on it.
    pub(crate) fn serves(self, spec: &Spec) -> bool {
        let wanted = Self::of(spec);
        self.network == wanted.network && (self.low_ports || !wanted.low_ports)
    }

    /// The first steps of every plan on it.
    pub(crate) fn first<P: 'static>(self) -> &'static [Step<P>] {
        match (self.network, self.low_ports) {
            (Network::Private | Network::Bridge, true) => First::PRIVATE,
            (Network::Private | Network::Bridge, false) => First::PRIVATE_HIGH,
            (Network::None, true) => First::NONE,
            (Network::None, false) => First::NONE_HIGH,
            (Network::Host, _) => First::HOST,
        }
    }
}

/// The first steps, which need to know nothing but the ground.
struct First<P>(PhantomData<P>);

impl<P: 'static> First<P> {
    const OWN: Namespaces = Namespaces::IPC.with(Namespaces::HOSTNAME);
    const PRIVATE: &'static [Step<P>] = &[
        Step::DieWithParent,
        Step::Unshare(Self::OWN.with(Namespaces::NETWORK)),
        Step::OpenPorts,
        Step::Loopback,
    ];
    const NONE: &'static [Step<P>] = &[
        Step::DieWithParent,
        Step::Unshare(Self::OWN.with(Namespaces::NETWORK)),
        Step::OpenPorts,
    ];
    const PRIVATE_HIGH: &'static [Step<P>] = &[
        Step::DieWithParent,
        Step::Unshare(Self::OWN.with(Namespaces::NETWORK)),
        Step::Loopback,
    ];
    const NONE_HIGH: &'static [Step<P>] = &[
        Step::DieWithParent,
        Step::Unshare(Self::OWN.with(Namespaces::NETWORK)),
    ];
    const HOST: &'static [Step<P>] = &[Step::DieWithParent, Step::Unshare(Self::OWN)];
}
