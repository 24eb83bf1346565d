#!/bin/sh
# Installs the programs that the tests speak with, from Debian's packages. Needs root. Debian's mail servers exclude each
# other as packages, so each is unpacked into a root of its own below the given folder; `enter.sh` runs a program so that
# its package looks installed. Doing it again is quick and changes nothing.
#
#   usage: test/peers/install.sh [FOLDER]       default: $POSTHORN_PEERS, or /opt/posthorn-peers
set -eu
folder=${1:-${POSTHORN_PEERS:-/opt/posthorn-peers}}
mkdir -p "$folder"

tools="swaks curl strace openssl gnutls-bin mutt pflogsumm python3 libnet-ssleay-perl libio-socket-ssl-perl"
libraries="libdb5.3 libnsl2 libsasl2-2 libevent-2.1-7 libgnutls-dane0 libidn12 libexttextcat-2.0-0 liblua5.4-0
  libsodium23 libstemmer0d libtirpc3 libunwind8 libwrap0 libapparmor1 libcap2 netbase"
missing=
for package in $tools $libraries; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
updated=
update() { [ -n "$updated" ] || { apt-get update -qq; updated=yes; }; }
if [ -n "$missing" ]; then
  update
  # shellcheck disable=SC2086 -- a list of names
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# unpack ROOT USERS PACKAGE...: USERS as name:uid, each with a group of the same number
unpack() {
  root=$folder/$1; users=$2; shift 2
  wanted="$*"
  if [ "$(cat "$root/.packages" 2>/dev/null)" = "$wanted" ]; then return; fi
  update
  rm -rf "$root"
  mkdir -p "$root/usr" "$root/etc" "$root/.download"
  (cd "$root/.download" && apt-get download -qq "$@" 2>/dev/null)
  for package in "$root"/.download/*.deb; do dpkg -x "$package" "$root"; done
  rm -rf "$root/.download"
  # Packages of an older layout bring /lib, /bin and /sbin of their own.
  for old in bin sbin lib; do
    if [ -d "$root/$old" ]; then mkdir -p "$root/usr/$old"; cp -a "$root/$old/." "$root/usr/$old/"; fi
  done
  cp /etc/passwd /etc/group "$root/etc/"
  for user in $users; do
    name=${user%:*}; number=${user#*:}
    echo "$name:x:$number:$number::/nonexistent:/usr/sbin/nologin" >>"$root/etc/passwd"
    echo "$name:x:$number:" >>"$root/etc/group"
  done
  echo "$wanted" >"$root/.packages"
}

unpack postfix "postfix:950 postdrop:951" postfix
unpack opensmtpd "opensmtpd:952 opensmtpq:953" opensmtpd
unpack exim4 "Debian-exim:954" exim4-daemon-light exim4-base exim4-config
unpack pebble "" pebble
unpack dovecot "dovecot:955 dovenull:956" dovecot-core dovecot-lmtpd
unpack postgrey "postgrey:957" postgrey libberkeleydb-perl libnetaddr-ip-perl libnet-dns-perl libnet-server-perl \
  libio-multiplex-perl libnet-cidr-perl libio-socket-inet6-perl libsocket6-perl libcgi-pm-perl libhtml-parser-perl

echo "peers: $(ls "$folder" | tr '\n' ' ')in $folder"
