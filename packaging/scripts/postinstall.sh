#!/bin/sh
# deb: "configure" after an install or upgrade; rpm: 1 or 2.
set -e

case "$1" in configure|1|2) ;; *) exit 0 ;; esac

if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers stack.conf
elif ! getent passwd stack >/dev/null; then
	adduser --system --group --home /var/lib/stack --no-create-home --shell /usr/sbin/nologin stack
fi
if command -v systemd-tmpfiles >/dev/null; then
	systemd-tmpfiles --create stack.conf
else
	install -d -m 0700 -o stack -g stack /etc/stack/secrets
	install -d -m 0750 -o stack -g stack /var/lib/stack /var/log/stack
	chgrp stack /etc/stack/stack.yaml
fi

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload

# rpm follows presets and starts nothing; deb starts at install. An upgrade that
# finds the service running hands over in place: no connection is lost.
if [ "$1" = configure ]; then
	if [ -z "$2" ]; then
		systemctl enable stack.service >/dev/null 2>&1 || :
		/usr/bin/stack check /etc/stack/stack.yaml >/dev/null && systemctl start stack.service || :
	elif systemctl is-active --quiet stack.service; then
		/usr/bin/stack upgrade || echo "stack: the running version stays; see journalctl -u stack" >&2
	fi
else
	systemctl preset stack.service >/dev/null 2>&1 || :
	if [ "$1" = 2 ] && systemctl is-active --quiet stack.service; then
		/usr/bin/stack upgrade || :
	fi
fi
