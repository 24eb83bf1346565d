#!/bin/sh
# Installs the programs that the tests speak with, from Debian's packages. Needs root. Debian's mail servers exclude each
# other as packages, so each is unpacked into a root of its own below the given folder; `enter.sh` runs a program so that
# its package looks installed. Doing it again is quick and changes nothing.
#
#   usage: test/peers/install.sh [FOLDER]       default: $POSTHORN_PEERS, or /opt/posthorn-peers
set -eu
folder=${1:-${POSTHORN_PEERS:-/opt/posthorn-peers}}
mkdir -p "$folder"

tools="whois libpam-pwdfile swaks curl strace tinycdb openssl gnutls-bin mutt pflogsumm python3 libnet-ssleay-perl libio-socket-ssl-perl
  msmtp gsasl tshark"
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
# With cdb tables, apart: so the other stays as it is. What the package's script would write is written here.
unpack postfix-cdb "postfix:950 postdrop:951" postfix postfix-cdb libcdb1
echo "cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open" >"$folder/postfix-cdb/etc/postfix/dynamicmaps.cf"
touch "$folder/postfix-cdb/etc/postfix/main.cf"
unpack opensmtpd "opensmtpd:952 opensmtpq:953" opensmtpd
unpack exim4 "Debian-exim:954" exim4-daemon-light exim4-base exim4-config
unpack pebble "" pebble
unpack dovecot "dovecot:955 dovenull:956" dovecot-core dovecot-lmtpd
# With Sieve, apart: so the other stays as it is.
unpack pigeonhole "dovecot:955 dovenull:956" dovecot-core dovecot-lmtpd dovecot-sieve
unpack postgrey "postgrey:957" postgrey libberkeleydb-perl libnetaddr-ip-perl libnet-dns-perl libnet-server-perl \
  libio-multiplex-perl libnet-cidr-perl libio-socket-inet6-perl libsocket6-perl libcgi-pm-perl libhtml-parser-perl

# Databases and directories that tables ask; none of them is started by its package.
unpack postgres "postgres:960" postgresql-15 postgresql-client-15 libpq5 libicu72 libldap-2.5-0 libsasl2-2 libxml2 libxslt1.1
unpack mariadb "mysql:961" mariadb-server-core mariadb-server mariadb-client-core libmariadb3 liburing2 libpmem1 libndctl6 \
  libdaxctl1 libsnappy1v5 libaio1 libkmod2 libnuma1
unpack slapd "openldap:962" slapd ldap-utils libldap-2.5-0 libodbc2 libltdl7 libargon2-1 libsasl2-2
unpack redis "redis:963" redis-server redis-tools libatomic1 libhiredis0.14 libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson

# Who else rewrites senders.
unpack postsrsd "" postsrsd

# A server that speaks socketmap.
unpack mtasts "mta-sts:965" postfix-mta-sts-resolver python3-aiodns python3-pycares python3-aiohttp python3-yaml python3-aiosqlite \
  python3-aioredis python3-redis python3-hiredis python3-multidict python3-yarl python3-attr python3-async-timeout \
  python3-charset-normalizer python3-frozenlist python3-aiosignal python3-idna python3-cffi-backend python3-typing-extensions \
  libc-ares2 libyaml-0-2

# Scanners of content: none is started by its package, and none of them asks the network.
unpack rspamd "_rspamd:970" rspamd libhyperscan5 libluajit-5.1-common libluajit-5.1-2
unpack clamav "clamav:971" clamav-daemon clamav-base libclamav12 libmspack0
unpack spamassassin "debian-spamd:972" spamassassin spamd spamc libb-hooks-op-check-perl libclone-perl libcrypt-openssl-bignum-perl \
  libcrypt-openssl-random-perl libcrypt-openssl-rsa-perl libdigest-hmac-perl libhtml-tagset-perl libregexp-ipv6-perl liburi-perl \
  libhtml-parser-perl libtimedate-perl libhttp-date-perl libio-string-perl libmail-authenticationresults-perl libmailtools-perl \
  libnet-dns-perl libmail-dkim-perl libnetaddr-ip-perl libsocket6-perl libsys-hostname-long-perl libnet-smtp-ssl-perl

# SpamAssassin between two mail servers.
unpack spampd "spampd:973" spampd spamassassin libnet-server-perl libio-multiplex-perl libnet-cidr-perl libio-socket-inet6-perl libcgi-pm-perl \
  libb-hooks-op-check-perl libclone-perl libcrypt-openssl-bignum-perl libcrypt-openssl-random-perl libcrypt-openssl-rsa-perl \
  libdigest-hmac-perl libhtml-tagset-perl libregexp-ipv6-perl liburi-perl libhtml-parser-perl libtimedate-perl libhttp-date-perl \
  libio-string-perl libmail-authenticationresults-perl libmailtools-perl libnet-dns-perl libmail-dkim-perl libnetaddr-ip-perl \
  libsocket6-perl libsys-hostname-long-perl libnet-smtp-ssl-perl

# Milters, and Python's way of writing one. None of them asks the network.
unpack milters "opendkim:980 opendmarc:981 spamass-milter:982 clamav:971" opendkim opendkim-tools libopendkim11 libldap-2.5-0 liblua5.3-0 \
  libmemcached11 libhashkit2 libmilter1.0.1 libopendbx1 librbl1 libunbound8 libvbr2 libsasl2-2 dns-root-data opendmarc libopendmarc2 libspf2-2 publicsuffix \
  clamav-milter clamav-base libclamav12 libmspack0 spamass-milter spamc python3-milter python3-dns

# Who else signs mail.
unpack dkimpy "" python3-dkim python3-authres python3-dnspython python3-nacl python3-cffi-backend libsodium23

# Filters that speak OpenSMTPD's protocol.
unpack opensmtpd-filters "" opensmtpd-filter-dkimsign opensmtpd-filter-rspamd opensmtpd-filter-senderscore libopensmtpd0

# Another time of day for whole programs.
unpack faketime "" libfaketime

# Who else checks passwords.
unpack saslauthd "sasl:964" sasl2-bin

echo "peers: $(ls "$folder" | tr '\n' ' ')in $folder"
