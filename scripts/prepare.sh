#!/usr/bin/env bash
# Installs the Debian packages that tests, lab and demo need; quick when they are there.
# With --list it only prints the names. Everything that is needed from outside Go is in this one list.
set -euo pipefail

packages=(
	btrfs-progs           # mkfs.btrfs: a personalization package is laid over each kind of file system, in tests
	ca-certificates       # modules and images come over https
	bubblewrap            # confines scripts of OS definitions, here in tests of that
	cpio                  # looking into an initramfs from outside our own code
	debootstrap           # which packages a system of its has, for the mirror of a test
	dnsmasq-base          # a site's own DHCP server as the guide has it, and a DHCP relay, in tests; starts nothing by itself
	docker-registry       # a registry of images that is not ours, for the test of image sources; its service stays masked
	dosfstools            # mkfs.vfat: EFI system partitions; config drives of others, in tests
	e2fsprogs             # mke2fs -d: root file systems without a mount
	ganeti-instance-debootstrap # an OS definition that is not ours; scripts and no daemon
	gdisk                 # sgdisk: partition tables
	genisoimage           # config drives as Nova makes them, and isoinfo, in tests
	git                   # the build stamps the commit
	gnupg                 # signs the mirror of a test
	grub-efi-amd64-signed # signed boot loader of the boot ISO
	iproute2              # network namespaces of the lab
	ipxe                  # boot loaders for the network: snponly.efi, undionly.kpxe
	ipxe-qemu             # boot ROMs for the NICs of machines with a BIOS
	isc-dhcp-client       # dhclient: a DHCPv6 client that is not ours, for the tests of the boot services; no daemon
	jq                    # reading JSON in scripts
	kmod                  # depmod: the index of the modules in the Debian ramdisk
	make
	mmdebstrap            # the demo's operating system image, and the Debian ramdisk
	mtools                # copying into a FAT without a mount
	nftables              # the rules of the guide on polled machines, in the lab's router; its service stays disabled
	openssl               # keys and certificates of Secure Boot, as the guide makes them
	openssh-client        # logging in to what was deployed
	ovmf                  # UEFI firmware with Microsoft's keys enrolled
	postgresql            # the store's tests start a private server of their own
	python3-ironicclient  # the baremetal command: a client that is not ours; brings openstack with it
	python3-glance        # the image service that images by id are tested with; a library, no daemon
	python3-keystone      # the identity service that tests log in with; a library and two programs, no daemon
	python3-keystonemiddleware # what checks tokens in front of OpenStack's services, here of a vendordata target; a library
	python3-neutron       # the network service that the network interfaces flat and neutron are tested with; a library, no daemon
	qemu-system-x86       # machines
	qemu-utils            # qemu-img, to compare with
	sbsigntool            # sbsign and sbverify: signatures for Secure Boot by tools that are not ours
	shim-signed           # first boot loader under Secure Boot
	tcpdump               # what passes on the networks of the lab, for the test of reachability
	udhcpc                # busybox's DHCP, TFTP and HTTP clients, for the same tests
	xorriso               # ISO images in tests
	xfsprogs              # mkfs.xfs, as btrfs-progs
	zstd                  # compressed images
)

if [ "${1:-}" = --list ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi

missing=()
for p in "${packages[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "prepare: not root, and these packages are missing: ${missing[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "prepare: no apt-get on this system; install what gives these Debian packages' programs: ${missing[*]}" >&2
	exit 1
fi
echo "prepare: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
case " ${missing[*]} " in
*" postgresql "*) # only the programs are wanted, no server that runs
	mkdir -p /etc/postgresql-common/createcluster.d
	echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/no-main-cluster.conf
	;;
esac
case " ${missing[*]} " in
*" docker-registry "*) # only the program is wanted
	[ -e /etc/systemd/system/docker-registry.service ] || { mkdir -p /etc/systemd/system && ln -s /dev/null /etc/systemd/system/docker-registry.service; }
	;;
esac
apt-get -qq update
apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null >/dev/null
