#compdef otus-httpd

autoload -U is-at-least

_otus-httpd() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--unit=[With --check\: systemd service to check, such as otus-httpd@shop \[default\: otus-httpd, if root gives no other option\]]:NAME:_default' \
'--settings=[Settings file, with lines such as OTUS_WORKERS=2; with a - before its name, it may be missing \[default\: none\]]:FILE:_files' \
'-s+[Address or host name to listen on; not used if systemd passes the sockets]:HOST:_hosts' \
'--host=[Address or host name to listen on; not used if systemd passes the sockets]:HOST:_hosts' \
'-p+[TCP port to listen on; 0 selects a free port and prints it]:PORT:_default' \
'--port=[TCP port to listen on; 0 selects a free port and prints it]:PORT:_default' \
'--https-port=[TCP port for HTTPS at the same address, beside --port \[default\: none\]]:PORT:_default' \
'--certificates=[Directory of certificates for HTTPS, with a subdirectory for each\: fullchain.pem and privkey.pem \[default\: none\]]:DIR:_files -/' \
'--ticket-keys=[File of keys of TLS session tickets that several machines share, newest first, so that each resumes the sessions of the others \[default\: random keys\]]:FILE:_files' \
'--http2=[HTTP/2\: for HTTPS and on unix sockets (on), also in clear on all others (cleartext), or not at all (off)]:WHERE:((off\:"Nowhere"
on\:"Over TLS, and in clear on unix sockets"
cleartext\:"Over TLS, and in clear on all sockets, with clients that know it beforehand"))' \
'--acme-challenges=[Directory of the challenges of certification authorities\: a file NAME in it is served at /.well-known/acme-challenge/NAME for every host]:DIR:_files -/' \
'--hsts=[Strict-Transport-Security\: seconds in which browsers use HTTPS only, then optionally ,includeSubDomains and ,preload \[default\: none\]]:SECONDS:_default' \
'-r+[Document root\: the directory whose files are served]:DIR:_files -/' \
'--root=[Document root\: the directory whose files are served]:DIR:_files -/' \
'--sites=[Directory with a document root for each host, such as example.org; instead of --root \[default\: none\]]:DIR:_files -/' \
'--user=[User to run as after binding the socket, if started as root \[default\: www-data or nobody as root, otherwise the current user\]]:NAME:_users' \
'*--mime=[Media type for an extension, such as wasm=application/wasm; repeatable, or separated by commas]:EXT=TYPE:_default' \
'--mime-types=[File of media types and their extensions, such as /etc/mime.types \[default\: none\]]:FILE:_files' \
'*--allow=[Networks whose clients alone get a path and all below it, such as /intern=192.0.2.0/24,2001\:db8\:\:/32; others get 403. With --sites, a host before the path means its site. Repeatable, or separated by semicolons]:PREFIX=CIDR,...:_default' \
'*--auth=[File of users who alone get a path and all below it, such as /intern=/etc/otus-httpd/intern.users, with lines of htpasswd(1). With --sites, a host before the path means its site. Repeatable, or separated by semicolons]:PREFIX=FILE:_default' \
'*--trusted-proxies=[Networks of the proxies that are believed who their clients are, such as 192.0.2.10 or 192.0.2.0/24; repeatable, or separated by commas \[default\: none\]]:CIDR:_default' \
'--client-address-header=[Field by which trusted proxies name the client, such as Forwarded, X-Real-IP or CF-Connecting-IP \[default\: X-Forwarded-For, or Forwarded in requests without it\]]:NAME:_default' \
'*--index=[Name of the file that is served for a directory; repeatable, or separated by commas\: the first that exists]:NAME:_default' \
'--pretty=[Names of pages without .html\: /about serves about.html if there is nothing else by that name (on), and /about.html redirects to it (redirect)]:HOW:((off\:"A page has only its own name"
on\:"A page can be requested without its extension, if nothing else has that name"
redirect\:"The same, and its name with the extension leads there"))' \
'--cache-control=[Cache-Control of files\: a year for names that contain a hash of the content, and no use without asking for all others (hashed), or none (off)]:HOW:((hashed\:"A year for names that contain a hash of the content; revalidation for all others"
off\:"None"))' \
'--precompressed=[Send name.br, name.zst or name.gz instead of name to clients that accept it\: on or off]:ON:_default' \
'--charset=[Character encoding in the Content-Type of text, such as utf-8 \[default\: none\]]:NAME:_default' \
'-w+[Number of worker processes \[default\: number of available processors\]]:N:_default' \
'--workers=[Number of worker processes \[default\: number of available processors\]]:N:_default' \
'--max-threads=[Maximum number of request threads per worker]:N:_default' \
'--max-connections=[Maximum number of open connections; beyond it, idle ones are closed, or new ones wait in the listen queue]:N:_default' \
'--max-per-client=[Maximum number of open connections per client (IPv4 address or IPv6 /64); further ones get 503 \[default\: no limit\]]:N:_default' \
'--cache-size=[Memory for small files per worker, in bytes or with k, m or g; 0 disables the cache]:BYTES:_default' \
'--compress-cache=[Memory for compressed content of files of 1 KiB to 4 MiB, of all workers together, in bytes or with k, m or g; 0 compresses nothing]:BYTES:_default' \
'--health-path=[Path at which workers answer health checks, such as /health\: 200 if the server can serve, otherwise 503; nothing of the site is served there \[default\: none\]]:PATH:_default' \
'--max-request-line=[Maximum length of a request line, in bytes or with k; longer ones get 414]:BYTES:_default' \
'--max-head=[Maximum length of a request head, in bytes or with k; longer ones get 431]:BYTES:_default' \
'--max-fields=[Maximum number of header fields in a request; more get 431]:N:_default' \
'--max-requests=[Number of requests after which a connection is closed]:N:_default' \
'--head-timeout=[Seconds within which a complete request head must arrive; otherwise 408]:SECONDS:_default' \
'--idle-timeout=[Seconds that an idle connection is kept open for its next request]:SECONDS:_default' \
'--send-timeout=[Period in seconds over which a client must receive at least --min-rate; otherwise the connection is closed]:SECONDS:_default' \
'--min-rate=[Minimum rate of a slow client in bytes per second over --send-timeout, or with k]:BYTES:_default' \
'--drain-timeout=[Seconds that old workers have to finish requests in flight after a reload]:SECONDS:_default' \
'--stop-timeout=[Seconds that requests in flight have to finish when the server is stopped \[default\: 4 if systemd passes the sockets, as new connections wait meanwhile; otherwise as --drain-timeout\]]:SECONDS:_default' \
'--health-timeout=[Seconds after which a document root whose disk does not respond makes the health check 503; it is read five times in that time, at most once a second]:SECONDS:_default' \
'--lame-duck=[Seconds for which the server still accepts connections after TERM, while the health check says 503; then it stops]:SECONDS:_default' \
'--idle-exit=[Seconds without a connection after which the server exits; its socket unit starts it again \[default\: never\]]:SECONDS:_default' \
'--access-log=[Access log destination\: journal, stderr (JSON lines), errors (only failed requests, with the server log) or off \[default\: journal under systemd, otherwise off\]]:WHERE:((journal\:"All requests, in the journal"
stderr\:"All requests, as JSON lines on stderr"
off\:"No access log"
errors\:"Only 4xx, 5xx and aborted responses, with the server log"))' \
'--log-rate=[Maximum number of access-log records per second; further requests are summarized, errors have a separate limit]:N:_default' \
'--log-query=[Record the query string of targets and referers\: yes or no]:YES:_default' \
'--log-address=[Recorded part of client addresses\: full, net (IPv4 /24, IPv6 /48) or none]:HOW:((full\:"Address and port"
net\:"Network only\: IPv4 /24 or IPv6 /48"
none\:"Nothing"))' \
'--check[Validate the configuration, print every setting with its origin, and exit]' \
'--redirect-to-https[Redirect GET and HEAD of plain HTTP to HTTPS, for the names of the certificates only]' \
'--auth-over-http[Ask for passwords over plain HTTP from public addresses as well, where anybody on the way can read them]' \
'--forwarded-host[Let trusted proxies name the host that the client asked for, by X-Forwarded-Host or Forwarded]' \
'--listing[List directories without an index, as an HTML page or, by Accept, as JSON]' \
'--dotfiles[Serve files and directories whose names begin with a dot; otherwise only .well-known]' \
'-d[Log every request and every connection that ends early]' \
'--debug[Log every request and every connection that ends early]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_otus-httpd_commands" \
"*::: :->otus-httpd" \
&& ret=0
    case $state in
    (otus-httpd)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:otus-httpd-command-$line[1]:"
        case $line[1] in
            (precompress)
_arguments "${_arguments_options[@]}" : \
'--verify[Write nothing; list the variants that do not decode to exactly the file beside them]' \
'-h[Print help]' \
'--help[Print help]' \
':directory -- The directory, such as the document root:_files -/' \
&& ret=0
;;
(check-site)
_arguments "${_arguments_options[@]}" : \
'*--ignore=[Kind of finding to leave out; repeatable, or separated by commas]:KIND:((unread\:"A file or directory that could not be checked"
rule\:"A line of _headers or _redirects that the server does not apply"
loop\:"Redirects that lead back to where they began"
chain\:"A redirect that leads to another redirect"
shadowed\:"A redirect for a path that has a file, which is served instead"
impossible\:"A rule that never applies, or leads to nothing"
unused\:"A rule of _headers for paths that do not exist\: a warning"
link\:"A link that leads nowhere"
relative\:"A relative link in an error page, which is sent for paths in every directory"
variant\:"A precompressed variant that is not the file beside it"))' \
'*--host=[Host of this site, whose links are links within it; repeatable, or separated by commas. Default\: the host that the home page or the sitemap names]:NAME:_hosts' \
'*--index=[The names of the files that are served for a directory, as in --index of the server]:NAME:_default' \
'--pretty=[The names of pages without .html, as in --pretty of the server]:HOW:((off\:"A page has only its own name"
on\:"A page can be requested without its extension, if nothing else has that name"
redirect\:"The same, and its name with the extension leads there"))' \
'--json[Print one JSON object instead of lines]' \
'--listing[The server runs with --listing\: a directory without an index is a page]' \
'--dotfiles[The server runs with --dotfiles\: names that begin with a dot are served]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':directory -- The document root:_files -/' \
&& ret=0
;;
(https)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
":: :_otus-httpd__subcmd__https_commands" \
"*::: :->https" \
&& ret=0

    case $state in
    (https)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:otus-httpd-https-command-$line[1]:"
        case $line[1] in
            (enable)
_arguments "${_arguments_options[@]}" : \
'--email=[Email address for the account at the certification authority \[default\: none\]]:ADDRESS:_email_addresses' \
'--server=[Directory URL of another certification authority (ACME) \[default\: Let'\''s Encrypt\]]:URL:_urls' \
'--redirect[Redirect plain HTTP to HTTPS for these names (OTUS_REDIRECT_TO_HTTPS=1)]' \
'--agree-tos[Agree to the terms of service of the certification authority]' \
'-h[Print help]' \
'--help[Print help]' \
'*::names -- DNS names that lead to this machine, such as example.org www.example.org \[default\: with OTUS_SITES, those of all sites, a certificate for each site\]:_hosts' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
':chain -- The certificate, followed by its issuers, in PEM:_files' \
':key -- The private key without a passphrase, in PEM:_files' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(disable)
_arguments "${_arguments_options[@]}" : \
'--force[Also if browsers may insist on HTTPS, because of --hsts]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(keys)
_arguments "${_arguments_options[@]}" : \
'--certificates=[The directory of the certificates \[default\: that of the settings, or /etc/otus-httpd/certificates\]]:DIR:_files -/' \
'--settings=[The settings file of the server, which may be missing]:FILE:_files' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
}

(( $+functions[_otus-httpd_commands] )) ||
_otus-httpd_commands() {
    local commands; commands=(
'precompress:Write name.br, name.zst and name.gz beside every file below DIR that becomes smaller' \
'check-site:List what is wrong with a site\: rules, links that lead nowhere, stale variants; nothing is written' \
'https:Set up HTTPS for the packaged service\: certificates, their renewal and the socket' \
'keys:The process that has the private keys; systemd starts it' \
    )
    _describe -t commands 'otus-httpd commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__check-site_commands] )) ||
_otus-httpd__subcmd__check-site_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd check-site commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__https_commands] )) ||
_otus-httpd__subcmd__https_commands() {
    local commands; commands=(
'enable:Get a certificate for the names by certbot, and serve HTTPS with it; can be repeated' \
'import:Serve HTTPS with a certificate from elsewhere; can be repeated with its successor' \
'status:Show the certificates, what renews them, and the socket' \
'disable:Stop serving HTTPS; the certificates stay' \
    )
    _describe -t commands 'otus-httpd https commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__https__subcmd__disable_commands] )) ||
_otus-httpd__subcmd__https__subcmd__disable_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd https disable commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__https__subcmd__enable_commands] )) ||
_otus-httpd__subcmd__https__subcmd__enable_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd https enable commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__https__subcmd__import_commands] )) ||
_otus-httpd__subcmd__https__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd https import commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__https__subcmd__status_commands] )) ||
_otus-httpd__subcmd__https__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd https status commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__keys_commands] )) ||
_otus-httpd__subcmd__keys_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd keys commands' commands "$@"
}
(( $+functions[_otus-httpd__subcmd__precompress_commands] )) ||
_otus-httpd__subcmd__precompress_commands() {
    local commands; commands=()
    _describe -t commands 'otus-httpd precompress commands' commands "$@"
}

if [ "$funcstack[1]" = "_otus-httpd" ]; then
    _otus-httpd "$@"
else
    compdef _otus-httpd otus-httpd
fi
