#!/bin/sh
# enter.sh ROOT COMMAND...: runs COMMAND in a mount namespace of its own, where the package unpacked in ROOT looks
# installed (/usr and /etc with ROOT's laid over them). Needs root; nothing outside the namespace changes.
exec unshare --mount --propagation private sh -ec '
root=$1; shift
for part in usr etc; do mount -t overlay overlay -o "lowerdir=$root/$part:/$part" "/$part"; done
exec "$@"' enter "$@"
