//! A sensor's firmware: an Ethernet driver, smoltcp, a small web server with JSON
//! answers, CBOR telegrams over UDP and a signed settings file. It is measured, not run.
#![no_std]
#![no_main]

mod device;
mod routes;
mod settings;
mod telegram;

use core::arch::global_asm;
use core::panic::PanicInfo;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::{dhcpv4, dns, icmp, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address};

use device::Ethernet;
use settings::Settings;

global_asm!(
    ".section .start, \"ax\"",
    ".globl _start",
    "_start:",
    "li sp, 0x3fcc0000",
    "call {main}",
    "1: j 1b",
    main = sym main,
);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    device::say(format_args!("{info}"));
    loop {}
}

fn now() -> Instant {
    Instant::from_micros(device::microseconds())
}

extern "C" fn main() -> ! {
    let mut settings = Settings::load().unwrap_or_default();
    let mut ethernet = Ethernet::new();
    let mut config = Config::new(EthernetAddress(settings.hardware_address).into());
    config.random_seed = device::random();
    let mut interface = Interface::new(config, &mut ethernet, now());
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(IpAddress::v6(0xfe80, 0, 0, 0, 2, 0, 0, 1), 64));
    });

    let (mut received, mut sent) = ([0; 2048], [0; 2048]);
    let web = tcp::Socket::new(
        tcp::SocketBuffer::new(&mut received[..]),
        tcp::SocketBuffer::new(&mut sent[..]),
    );
    let (mut in_heads, mut in_bytes) = ([udp::PacketMetadata::EMPTY; 4], [0; 1024]);
    let (mut out_heads, mut out_bytes) = ([udp::PacketMetadata::EMPTY; 4], [0; 1024]);
    let report = udp::Socket::new(
        udp::PacketBuffer::new(&mut in_heads[..], &mut in_bytes[..]),
        udp::PacketBuffer::new(&mut out_heads[..], &mut out_bytes[..]),
    );
    let (mut echo_in_heads, mut echo_in) = ([icmp::PacketMetadata::EMPTY; 4], [0; 256]);
    let (mut echo_out_heads, mut echo_out) = ([icmp::PacketMetadata::EMPTY; 4], [0; 256]);
    let echo = icmp::Socket::new(
        icmp::PacketBuffer::new(&mut echo_in_heads[..], &mut echo_in[..]),
        icmp::PacketBuffer::new(&mut echo_out_heads[..], &mut echo_out[..]),
    );
    let mut queries: [Option<dns::DnsQuery>; 2] = [const { None }; 2];
    let servers = [IpAddress::v4(9, 9, 9, 9)];
    let names = dns::Socket::new(&servers, &mut queries[..]);

    let mut places: [_; 5] = Default::default();
    let mut sockets = SocketSet::new(&mut places[..]);
    let web = sockets.add(web);
    let report = sockets.add(report);
    let echo = sockets.add(echo);
    let names = sockets.add(names);
    let lease = sockets.add(dhcpv4::Socket::new());
    let mut query = None;
    let mut collector = None;
    let mut state = routes::State::new();

    loop {
        let time = now();
        interface.poll(time, &mut ethernet, &mut sockets);
        match sockets.get_mut::<dhcpv4::Socket<'_>>(lease).poll() {
            Some(dhcpv4::Event::Configured(found)) => {
                interface.update_ip_addrs(|addresses| {
                    addresses.retain(|address| matches!(address, IpCidr::Ipv6(_)));
                    let _ = addresses.push(IpCidr::Ipv4(found.address));
                });
                if let Some(router) = found.router {
                    let _ = interface.routes_mut().add_default_ipv4_route(router);
                }
                state.address = found.address.address().octets();
                device::say(format_args!("address {} router {:?}", found.address, found.router));
            }
            Some(dhcpv4::Event::Deconfigured) => {
                interface.routes_mut().remove_default_ipv4_route();
                device::say(format_args!("no address"));
            }
            None => {}
        }
        if collector.is_none() {
            let socket = sockets.get_mut::<dns::Socket<'_>>(names);
            match query {
                None => {
                    query = socket
                        .start_query(interface.context(), settings.collector(), smoltcp::wire::DnsQueryType::A)
                        .ok();
                }
                Some(handle) => match socket.get_query_result(handle) {
                    Ok(found) => collector = found.first().copied(),
                    Err(dns::GetQueryResultError::Pending) => {}
                    Err(error) => {
                        device::say(format_args!("collector: {error:?}"));
                        query = None;
                        collector = Some(IpAddress::Ipv4(Ipv4Address::new(192, 168, 69, 1)));
                    }
                },
            }
        }
        {
            let socket = sockets.get_mut::<icmp::Socket<'_>>(echo);
            if !socket.is_open() {
                let _ = socket.bind(icmp::Endpoint::Ident(0x22b));
            }
            while let Ok((bytes, from)) = socket.recv() {
                device::say(format_args!("{} bytes of echo from {from}", bytes.len()));
                state.echoes += 1;
            }
        }
        {
            let socket = sockets.get_mut::<udp::Socket<'_>>(report);
            if !socket.is_open() {
                let _ = socket.bind(5_683);
            }
            if let Some(collector) = collector
                && state.is_due(time.total_millis())
            {
                let mut bytes = [0; 256];
                match telegram::encode(&state, &settings, &mut bytes) {
                    Ok(length) => {
                        let to = IpEndpoint::new(collector, 5_683);
                        if let Err(error) = socket.send_slice(&bytes[..length], to) {
                            device::say(format_args!("report: {error}"));
                        }
                    }
                    Err(error) => device::say(format_args!("report: {error}")),
                }
            }
            while let Ok((bytes, from)) = socket.recv() {
                match telegram::decode(bytes) {
                    Ok(order) => state.obey(&order),
                    Err(error) => device::say(format_args!("{from}: {error}")),
                }
            }
        }
        let socket = sockets.get_mut::<tcp::Socket<'_>>(web);
        if !socket.is_open() {
            let _ = socket.listen(80);
        }
        if socket.may_recv() && socket.can_send() {
            let mut answer = [0; 1024];
            let length = socket.recv(|bytes| {
                let length = routes::answer(bytes, &mut state, &mut settings, &mut answer);
                (bytes.len(), length)
            });
            match length {
                Ok(0) => {}
                Ok(length) => {
                    let _ = socket.send_slice(&answer[..length]);
                    socket.close();
                }
                Err(error) => {
                    device::say(format_args!("web: {error}"));
                    socket.abort();
                }
            }
        }
    }
}
