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
'--unit=[With --check\: check what this service of systemd would do, such as otus-httpd@shop \[default\: otus-httpd, for root that gives no other option\]]:NAME:_default' \
'--settings=[File with settings, lines such as OTUS_WORKERS=2; a - before its name lets it be missing \[default\: none\]]:FILE:_files' \
'-s+[Address or host name to listen on; not used when systemd passes the sockets]:HOST:_hosts' \
'--host=[Address or host name to listen on; not used when systemd passes the sockets]:HOST:_hosts' \
'-p+[TCP port to listen on; 0 takes a free one and prints it]:PORT:_default' \
'--port=[TCP port to listen on; 0 takes a free one and prints it]:PORT:_default' \
'-r+[Document root\: the directory whose files are served]:DIR:_files -/' \
'--root=[Document root\: the directory whose files are served]:DIR:_files -/' \
'--user=[User to serve as once the socket is bound, for a server that root starts; root must be named as well \[default\: whoever starts it\]]:NAME:_users' \
'*--mime=[Media type for an extension, such as wasm=application/wasm; may be given several times, or with commas between]:EXT=TYPE:_default' \
'--mime-types=[File with media types and their extensions, such as /etc/mime.types \[default\: none\]]:FILE:_files' \
'--precompressed=[Send name.br, name.zst or name.gz instead of name to clients that take it\: on or off]:ON:_default' \
'--charset=[Character encoding to name in the Content-Type of text, such as utf-8 \[default\: none\]]:NAME:_default' \
'-w+[Worker processes \[default\: the processors that this process may use\]]:N:_default' \
'--workers=[Worker processes \[default\: the processors that this process may use\]]:N:_default' \
'--max-threads=[Most request threads in each worker]:N:_default' \
'--max-connections=[Most open connections, all workers together; further ones wait in the listen queue]:N:_default' \
'--max-per-client=[Most open connections of one client\: an IPv4 address, or a /64 of IPv6; further ones get 503 \[default\: no limit\]]:N:_default' \
'--cache-size=[Memory for small files in each worker, in bytes or with k, m or g; 0 keeps none]:BYTES:_default' \
'--max-request-line=[Longest request line, in bytes or with k; longer ones get 414]:BYTES:_default' \
'--max-head=[Longest request head, in bytes or with k; longer ones get 431]:BYTES:_default' \
'--max-fields=[Most field lines in a request head; more get 431]:N:_default' \
'--max-requests=[Requests after which a connection is closed]:N:_default' \
'--head-timeout=[Seconds in which a whole request head must arrive, else 408]:SECONDS:_default' \
'--idle-timeout=[Seconds that a connection may wait for its next request]:SECONDS:_default' \
'--send-timeout=[Seconds over which a slow client must take --min-rate bytes a second, else its download is cut]:SECONDS:_default' \
'--min-rate=[Bytes a second that a slow client must take, over --send-timeout; in bytes or with k]:BYTES:_default' \
'--drain-timeout=[Seconds that requests in flight get to finish in the old workers when the server is reloaded]:SECONDS:_default' \
'--stop-timeout=[Seconds that requests in flight get to finish when the server is stopped \[default\: 4 when systemd passes the sockets, where new clients wait for the next server; else as --drain-timeout\]]:SECONDS:_default' \
'--idle-exit=[Seconds without a connection after which the server leaves, and its socket starts it again for the next \[default\: never\]]:SECONDS:_default' \
'--access-log=[Where each request is recorded\: journal; stderr, as JSON; off; errors alone, where the rest of the log goes \[default\: journal under systemd, else off\]]:WHERE:((journal\:"All of them, in the journal"
stderr\:"All of them, as lines of JSON on stderr"
off\:"None"
errors\:"Those with an error, and those whose answer was cut, where the rest of the log goes"))' \
'--log-rate=[Records a second, all workers together; further requests are summed, errors have as many of their own]:N:_default' \
'--log-query=[Record what stands behind the ? of targets and referers\: yes or no]:YES:_default' \
'--log-address=[How much of a client'\''s address to record\: full, its net (/24 of IPv4, /48 of IPv6), or none]:HOW:((full\:"All of it, and the port"
net\:"The network\: a /24 of IPv4, a /48 of IPv6"
none\:"Nothing"))' \
'--check[Check all that a start needs, print the settings in effect with where each comes from, and exit]' \
'--listing[List what a directory holds where it has no index.html, as a page or, if asked for, as JSON]' \
'--dotfiles[Serve files and directories whose names begin with a dot; else they are not found, but for .well-known]' \
'-d[Log every request and connection that ends early]' \
'--debug[Log every request and connection that ends early]' \
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
'-h[Print help]' \
'--help[Print help]' \
':directory -- The directory, such as the document root:_files -/' \
&& ret=0
;;
        esac
    ;;
esac
}

(( $+functions[_otus-httpd_commands] )) ||
_otus-httpd_commands() {
    local commands; commands=(
'precompress:Write name.br, name.zst and name.gz beside every file beneath DIR that shrinks' \
    )
    _describe -t commands 'otus-httpd commands' commands "$@"
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
