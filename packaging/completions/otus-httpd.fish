# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_otus_httpd_global_optspecs
    string join \n check unit= settings= s/host= p/port= r/root= user= mime= mime-types= listing dotfiles precompressed= charset= w/workers= max-threads= max-connections= max-per-client= cache-size= max-request-line= max-head= max-fields= max-requests= head-timeout= idle-timeout= send-timeout= min-rate= drain-timeout= stop-timeout= idle-exit= access-log= log-rate= log-query= log-address= d/debug h/help V/version
end

function __fish_otus_httpd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_otus_httpd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_otus_httpd_using_subcommand
    set -l cmd (__fish_otus_httpd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l unit -d 'With --check: check what this service of systemd would do, such as otus-httpd@shop [default: otus-httpd, for root that gives no other option]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l settings -d 'File with settings, lines such as OTUS_WORKERS=2; a - before its name lets it be missing [default: none]' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s s -l host -d 'Address or host name to listen on; not used when systemd passes the sockets' -r -f -a "(__fish_print_hostnames)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s p -l port -d 'TCP port to listen on; 0 takes a free one and prints it' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s r -l root -d 'Document root: the directory whose files are served' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l user -d 'User to serve as once the socket is bound, for a server that root starts; root must be named as well [default: whoever starts it]' -r -f -a "(__fish_complete_users)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l mime -d 'Media type for an extension, such as wasm=application/wasm; may be given several times, or with commas between' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l mime-types -d 'File with media types and their extensions, such as /etc/mime.types [default: none]' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l precompressed -d 'Send name.br, name.zst or name.gz instead of name to clients that take it: on or off' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l charset -d 'Character encoding to name in the Content-Type of text, such as utf-8 [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s w -l workers -d 'Worker processes [default: the processors that this process may use]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-threads -d 'Most request threads in each worker' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-connections -d 'Most open connections, all workers together; further ones wait in the listen queue' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-per-client -d 'Most open connections of one client: an IPv4 address, or a /64 of IPv6; further ones get 503 [default: no limit]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l cache-size -d 'Memory for small files in each worker, in bytes or with k, m or g; 0 keeps none' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-request-line -d 'Longest request line, in bytes or with k; longer ones get 414' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-head -d 'Longest request head, in bytes or with k; longer ones get 431' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-fields -d 'Most field lines in a request head; more get 431' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-requests -d 'Requests after which a connection is closed' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l head-timeout -d 'Seconds in which a whole request head must arrive, else 408' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l idle-timeout -d 'Seconds that a connection may wait for its next request' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l send-timeout -d 'Seconds over which a slow client must take --min-rate bytes a second, else its download is cut' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l min-rate -d 'Bytes a second that a slow client must take, over --send-timeout; in bytes or with k' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l drain-timeout -d 'Seconds that requests in flight get to finish in the old workers when the server is reloaded' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l stop-timeout -d 'Seconds that requests in flight get to finish when the server is stopped [default: 4 when systemd passes the sockets, where new clients wait for the next server; else as --drain-timeout]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l idle-exit -d 'Seconds without a connection after which the server leaves, and its socket starts it again for the next [default: never]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l access-log -d 'Where each request is recorded: journal; stderr, as JSON; off; errors alone, where the rest of the log goes [default: journal under systemd, else off]' -r -f -a "journal\t'All of them, in the journal'
stderr\t'All of them, as lines of JSON on stderr'
off\t'None'
errors\t'Those with an error, and those whose answer was cut, where the rest of the log goes'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-rate -d 'Records a second, all workers together; further requests are summed, errors have as many of their own' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-query -d 'Record what stands behind the ? of targets and referers: yes or no' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-address -d 'How much of a client\'s address to record: full, its net (/24 of IPv4, /48 of IPv6), or none' -r -f -a "full\t'All of it, and the port'
net\t'The network: a /24 of IPv4, a /48 of IPv6'
none\t'Nothing'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l check -d 'Check all that a start needs, print the settings in effect with where each comes from, and exit'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l listing -d 'List what a directory holds where it has no index.html, as a page or, if asked for, as JSON'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l dotfiles -d 'Serve files and directories whose names begin with a dot; else they are not found, but for .well-known'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s d -l debug -d 'Log every request and connection that ends early'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s V -l version -d 'Print version'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -f -a "precompress" -d 'Write name.br, name.zst and name.gz beside every file beneath DIR that shrinks'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand precompress" -s h -l help -d 'Print help'
