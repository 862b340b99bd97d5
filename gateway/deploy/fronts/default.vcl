# Streams through Varnish: private ones, and the broadcast route, of which Varnish makes one stream of Sluice's for all
# viewers who come within broadcast_freshness (S). Checked with 7.1: varnishd -j none -C -f default.vcl, for as root Varnish
# reads it as the user vcache, which cannot see the homes of others.
#
# On the command line:
#   -p thread_pool_max=N    a viewer takes a thread for as long as he watches: N > viewers / thread_pools (2). With too
#                           few, viewers wait without a word.
#   -s Transient=malloc,2G  what is kept for less than 10 s is there, without a limit unless given. A stream is kept
#                           whole while somebody reads it: a channel takes about (D/S) x (D/2) x bytes per second, with
#                           D = broadcast_lifetime. When it is full, viewers are cut and come back.
#   -p between_bytes_timeout=60   (the default) idle limit: more than twice client.ping_interval, 25s.
#
# Sluice: broadcast.vary_last_event_id: true, so that viewers whose stream has ended share what follows it.
vcl 4.1;

import std;

backend sluice {
	.host = "127.0.0.1";
	.port = "8000";
	.connect_timeout = 1s;
	.first_byte_timeout = 15s;
}

sub vcl_recv {
	unset req.http.X-Coding;
	if (req.url ~ "^/connection/") {
		# Private streams: one of Sluice's for each. X-Forwarded-For is set by Varnish; Sluice: http_server.trusted_proxies.
		return (pass);
	}
	if (req.url !~ "^/broadcast(\.bare)?/|^/broadcast\.js$") {
		# Backends publish to 127.0.0.1:8000, or to http_server.internal_port.
		return (synth(404));
	}
	# Nobody splits the cache by a query. Of a path that can be written in several ways Sluice serves one, and redirects the others.
	if (req.url ~ "\?") {
		return (synth(400, "No query here"));
	}
	if (req.method == "OPTIONS") {
		return (pass);
	}
	if (req.method != "GET" && req.method != "HEAD") {
		return (synth(405));
	}
	unset req.http.Cookie;
	unset req.http.Authorization;
	unset req.http.Range;
	if (req.url ~ "^/broadcast\.bare/") {
		unset req.http.Last-Event-ID;
	}
	# Codings, by hand, and no dictionaries (dcz): Varnish would ask for gzip alone, and unpack it for who cannot, which holds events back for
	# seconds. So what viewers can read makes objects of their own (vcl_hash), and nothing is packed or unpacked here.
	set req.http.X-Coding = "identity";
	if (req.http.Accept-Encoding !~ ";\s*q=0(\.0*)?\s*(,|$)") {
		if (req.http.Accept-Encoding ~ "(?i)\bgzip\b") {
			set req.http.X-Coding = "gzip";
		}
		if (req.http.Accept-Encoding ~ "(?i)\bzstd\b") {
			set req.http.X-Coding = regsub("zstd, " + req.http.X-Coding, ", identity", "");
		}
	}
	return (hash);
}

# No cookies, and no Host: any name is the same channel. With several sites, hash_data(req.http.Host).
sub vcl_hash {
	hash_data(req.url);
	hash_data(req.http.X-Coding);
	return (lookup);
}

sub vcl_backend_fetch {
	if (bereq.http.X-Coding) {
		set bereq.http.Accept-Encoding = bereq.http.X-Coding;
		unset bereq.http.X-Coding;
	}
}

sub vcl_backend_response {
	# A stream is shared while it is fresh, and not for a moment longer: who got the recording of one that has ended would come
	# back for it again and again.
	set beresp.grace = 0s;
	set beresp.keep = 0s;
}

# While Sluice is away: a 503 would end an EventSource for good. Viewers of a channel share this answer for a second, so
# that a crowd does not knock all at once; private streams get their own. retry is beyond S (3 s).
sub vcl_backend_error {
	set beresp.status = 200;
	set beresp.reason = "OK";
	set beresp.http.Content-Type = "text/event-stream; charset=utf-8";
	set beresp.http.Cache-Control = "no-store";
	set beresp.http.Access-Control-Allow-Origin = "*";
	set beresp.ttl = 1s;
	set beresp.grace = 0s;
	set beresp.body = "retry: " + std.integer(real = std.random(4000, 7000)) + {"

"};
	return (deliver);
}

# Refusals of this file are final; what else goes wrong in Varnish is not.
sub vcl_synth {
	if (resp.status >= 500) {
		set resp.status = 200;
		set resp.reason = "OK";
		set resp.http.Content-Type = "text/event-stream; charset=utf-8";
		set resp.http.Cache-Control = "no-store";
		set resp.http.Access-Control-Allow-Origin = "*";
		set resp.body = "retry: " + std.integer(real = std.random(4000, 7000)) + {"

"};
	}
	return (deliver);
}
