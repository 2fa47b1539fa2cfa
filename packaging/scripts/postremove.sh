#!/bin/sh
# remove keeps config and data; purge takes the config, secrets and logs. The
# database is never removed: delete /var/lib/stack yourself.
set -e
if [ "$1" = purge ]; then
	rm -rf /etc/stack/secrets /etc/stack/conf.d /var/log/stack
	rmdir /etc/stack 2>/dev/null || :
	if [ -d /var/lib/stack ]; then
		rmdir /var/lib/stack 2>/dev/null || echo "stack: kept /var/lib/stack with its data" >&2
	fi
fi
case "$1" in
remove|purge|0) [ ! -d /run/systemd/system ] || systemctl daemon-reload || : ;;
esac
