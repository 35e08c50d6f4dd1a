use super::*;

/// A sock_diag answer (linux/inet_diag.h, linux/netlink.h), written by hand: struct inet_diag_msg and attributes.
fn answer(port: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![AF_INET6, 7, 0, 0];
    body.extend(port.to_be_bytes());
    body.extend([0, 0]);
    body.extend("fe80::2".parse::<Ipv6Addr>().unwrap().octets());
    body.extend([0; 16]);
    body.extend(3_u32.to_ne_bytes());
    body.extend([0; 8]);
    for number in [0_u32, 0, 0, 101, 4711] {
        body.extend(number.to_ne_bytes());
    }
    for (kind, value) in attributes {
        body.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    // SOCK_DIAG_BY_FAMILY, part of a dump.
    message(20, 2, &body)
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

#[test]
fn a_dump_tells_interface_user_inode_and_cgroup() {
    let cgroup = 3654_u64.to_ne_bytes();
    let dump = [answer(546, &[(8, &[0]), (21, &cgroup)]), answer(5353, &[]), answer(546, &[(21, &[1])])].concat();
    let mut found = Vec::new();
    assert_eq!(parse(&dump, 546, &mut found).unwrap(), Part::More);
    let address = "fe80::2".parse().unwrap();
    let holder = Holder { ifindex: 3, address, uid: 101, inode: 4711, cgroup: Some(3654) };
    assert_eq!(found, [holder.clone(), Holder { cgroup: None, ..holder }]);
    assert_eq!(parse(&message(3, 2, &[0; 4]), 546, &mut found).unwrap(), Part::Last);
}

#[test]
fn an_error_and_garbage_of_the_kernel_are_errors() {
    let mut found = Vec::new();
    let enoent = [(-2_i32).to_ne_bytes().to_vec(), vec![0; 16]].concat();
    assert_eq!(parse(&message(2, 0, &enoent), 546, &mut found).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(parse(&[1, 2, 3], 546, &mut found).is_err());
    let whole = answer(546, &[]);
    for length in 1..whole.len() {
        assert!(parse(&whole[..length], 546, &mut found).is_err(), "{length} octets");
    }
    assert!(found.is_empty());
}

#[test]
fn a_line_of_udp6_is_read_when_there_is_no_sock_diag() {
    // From a kernel with little-endian words.
    let line = if cfg!(target_endian = "little") {
        " 1234: 000080FE000000000000000002000000:0222 00000000000000000000000000000000:0000 07 00000000:00000000 \
         00:00000000 00000000   101        0 4711 2 0000000000000000 0"
    } else {
        return;
    };
    let address = "fe80::2".parse().unwrap();
    let holder = Holder { ifindex: 0, address, uid: 101, inode: 4711, cgroup: None };
    assert_eq!(parse_udp6(line, 546), Some(holder));
    assert_eq!(parse_udp6(line, 547), None);
    assert_eq!(parse_udp6("  sl  local_address  remote_address  st", 546), None);
    assert_eq!(parse_udp6(" 1: 00:0222 x", 546), None);
}

#[test]
fn a_socket_of_this_process_is_found_and_named() {
    let socket = std::net::UdpSocket::bind("[::1]:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let found = holders(port).unwrap();
    let [holder] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(holder.address, Ipv6Addr::LOCALHOST);
    let owner = identify(holder, Path::new("/"));
    assert!(owner.is_this_process(), "{owner:?}");
    assert!(owner.to_string().contains(&format!("(process {}", std::process::id())), "{owner}");
    drop(socket);
    assert_eq!(holders(port).unwrap(), []);
}

#[test]
fn an_owner_whose_files_cannot_be_seen_is_named_by_the_unit_of_its_cgroup() {
    let root = tempfile::tempdir().unwrap();
    let service = root.path().join("sys/fs/cgroup/system.slice/systemd-networkd.service");
    fs::create_dir_all(&service).unwrap();
    fs::create_dir_all(root.path().join("proc/1/fd")).unwrap();
    fs::write(root.path().join("sys/fs/cgroup/cgroup.controllers"), "").unwrap();
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&service).unwrap());
    let holder = |cgroup| Holder { ifindex: 0, address: Ipv6Addr::UNSPECIFIED, uid: 998, inode: 1, cgroup };
    assert_eq!(identify(&holder(Some(id)), root.path()).to_string(), "systemd-networkd.service");
    assert_eq!(identify(&holder(None), root.path()).to_string(), "a process of the user with the id 998");
}

#[test]
fn the_unit_is_the_innermost_service_or_scope() {
    let unit = |path: &str| unit(Path::new(path)).unwrap();
    assert_eq!(unit("system.slice/dhcpcd.service"), "dhcpcd.service");
    assert_eq!(unit("user.slice/user@0.service/app.slice/run-1.scope/inner"), "run-1.scope");
    assert_eq!(unit("kubepods/pod1"), "/kubepods/pod1");
}

#[test]
fn a_socket_of_another_interface_is_in_nobodys_way() {
    let holder = |ifindex| Holder { ifindex, address: Ipv6Addr::UNSPECIFIED, uid: 0, inode: 1, cgroup: None };
    assert!(holder(0).is_in_the_way(3) && holder(3).is_in_the_way(3));
    assert!(!holder(4).is_in_the_way(3));
}
