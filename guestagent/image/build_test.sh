#!/bin/bash
# The same inputs give the same image, byte for byte, whatever the time, the
# umask and the language; and it has the form that PVH boot wants.
set -euo pipefail
build=$1 kernel=$2 agent=$3

"$build" "$kernel" "$agent" "$TEST_TMPDIR/one"
(umask 077 && LANG=tr_TR.UTF-8 TZ=Asia/Tokyo "$build" "$kernel" "$agent" "$TEST_TMPDIR/two")
cmp "$TEST_TMPDIR/one/vmlinux" "$TEST_TMPDIR/two/vmlinux"
cmp "$TEST_TMPDIR/one/initrd.img" "$TEST_TMPDIR/two/initrd.img"

# XEN_ELFNOTE_PHYS32_ENTRY, by which QEMU starts the kernel without a loader.
notes=$(readelf -n "$TEST_TMPDIR/one/vmlinux")
grep -q 0x00000012 <<<"$notes" || { echo "no PVH entry in vmlinux"; exit 1; }

# What the kernel would spend time on at each boot.
mkdir "$TEST_TMPDIR/root"
(cd "$TEST_TMPDIR/root" && cpio --quiet -id 'usr/lib/modules/*.ko' <"$TEST_TMPDIR/one/initrd.img")
for module in "$TEST_TMPDIR"/root/usr/lib/modules/*.ko; do
  if readelf -SW "$module" | grep -q '\.BTF' || grep -q 'Module signature appended' "$module"; then
    echo "$module has type information or a signature"; exit 1
  fi
done

names=$(cpio --quiet -it <"$TEST_TMPDIR/one/initrd.img")
for name in init sbin/modprobe usr/lib/modules/{bridge,dm_mod,loop,tun}.ko usr/bin/crun etc/podvisor/runtime-version usr/lib/modules/list; do
  grep -qx "$name" <<<"$names" || { echo "no $name in the initramfs"; exit 1; }
done
