#!/bin/sh
# enter.sh ROOT COMMAND...: runs COMMAND in a mount namespace of its own, where the package unpacked in ROOT looks
# installed: ROOT's /usr, /etc and /var laid over the machine's. What it writes there is gone with it. Needs root; nothing
# outside the namespace changes.
exec unshare --mount --propagation private sh -ec '
root=$1; shift
mkdir -p "$root/var"
mount -t tmpfs tmpfs /mnt
for part in usr etc var; do
  mkdir -p "/mnt/$part/up" "/mnt/$part/work"
  mount -t overlay overlay -o "lowerdir=$root/$part:/$part,upperdir=/mnt/$part/up,workdir=/mnt/$part/work" "/$part"
done
exec "$@"' enter "$@"
