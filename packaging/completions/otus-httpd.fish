# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_otus_httpd_global_optspecs
    string join \n check unit= settings= s/host= p/port= https-port= certificates= ticket-keys= http2= acme-challenges= redirect-to-https hsts= r/root= sites= user= mime= mime-types= allow= auth= auth-over-http trusted-proxies= client-address-header= forwarded-host index= pretty= cache-control= listing dotfiles precompressed= charset= w/workers= max-threads= max-connections= max-per-client= cache-size= compress-cache= health-path= max-request-line= max-head= max-fields= max-requests= head-timeout= idle-timeout= send-timeout= min-rate= drain-timeout= stop-timeout= health-timeout= lame-duck= idle-exit= access-log= log-rate= log-query= log-address= d/debug h/help V/version
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

complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l unit -d 'With --check: systemd service to check, such as otus-httpd@shop [default: otus-httpd, if root gives no other option]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l settings -d 'Settings file, with lines such as OTUS_WORKERS=2; with a - before its name, it may be missing [default: none]' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s s -l host -d 'Address or host name to listen on; not used if systemd passes the sockets' -r -f -a "(__fish_print_hostnames)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s p -l port -d 'TCP port to listen on; 0 selects a free port and prints it' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l https-port -d 'TCP port for HTTPS at the same address, beside --port [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l certificates -d 'Directory of certificates for HTTPS, with a subdirectory for each: fullchain.pem and privkey.pem [default: none]' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l ticket-keys -d 'File of keys of TLS session tickets that several machines share, newest first, so that each resumes the sessions of the others [default: random keys]' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l http2 -d 'HTTP/2: for HTTPS and on unix sockets (on), also in clear on all others (cleartext), or not at all (off)' -r -f -a "off\t'Nowhere'
on\t'Over TLS, and in clear on unix sockets'
cleartext\t'Over TLS, and in clear on all sockets, with clients that know it beforehand'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l acme-challenges -d 'Directory of the challenges of certification authorities: a file NAME in it is served at /.well-known/acme-challenge/NAME for every host' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l hsts -d 'Strict-Transport-Security: seconds in which browsers use HTTPS only, then optionally ,includeSubDomains and ,preload [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s r -l root -d 'Document root: the directory whose files are served' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l sites -d 'Directory with a document root for each host, such as example.org; instead of --root [default: none]' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l user -d 'User to run as after binding the socket, if started as root [default: www-data or nobody as root, otherwise the current user]' -r -f -a "(__fish_complete_users)"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l mime -d 'Media type for an extension, such as wasm=application/wasm; repeatable, or separated by commas' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l mime-types -d 'File of media types and their extensions, such as /etc/mime.types [default: none]' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l allow -d 'Networks whose clients alone get a path and all below it, such as /intern=192.0.2.0/24,2001:db8::/32; others get 403. With --sites, a host before the path means its site. Repeatable, or separated by semicolons' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l auth -d 'File of users who alone get a path and all below it, such as /intern=/etc/otus-httpd/intern.users, with lines of htpasswd(1). With --sites, a host before the path means its site. Repeatable, or separated by semicolons' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l trusted-proxies -d 'Networks of the proxies that are believed who their clients are, such as 192.0.2.10 or 192.0.2.0/24; repeatable, or separated by commas [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l client-address-header -d 'Field by which trusted proxies name the client, such as Forwarded, X-Real-IP or CF-Connecting-IP [default: X-Forwarded-For, or Forwarded in requests without it]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l index -d 'Name of the file that is served for a directory; repeatable, or separated by commas: the first that exists' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l pretty -d 'Names of pages without .html: /about serves about.html if there is nothing else by that name (on), and /about.html redirects to it (redirect)' -r -f -a "off\t'A page has only its own name'
on\t'A page can be requested without its extension, if nothing else has that name'
redirect\t'The same, and its name with the extension leads there'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l cache-control -d 'Cache-Control of files: a year for names that contain a hash of the content, and no use without asking for all others (hashed), or none (off)' -r -f -a "hashed\t'A year for names that contain a hash of the content; revalidation for all others'
off\t'None'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l precompressed -d 'Send name.br, name.zst or name.gz instead of name to clients that accept it: on or off' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l charset -d 'Character encoding in the Content-Type of text, such as utf-8 [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s w -l workers -d 'Number of worker processes [default: number of available processors]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-threads -d 'Maximum number of request threads per worker' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-connections -d 'Maximum number of open connections; beyond it, idle ones are closed, or new ones wait in the listen queue' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-per-client -d 'Maximum number of open connections per client (IPv4 address or IPv6 /64); further ones get 503 [default: no limit]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l cache-size -d 'Memory for small files per worker, in bytes or with k, m or g; 0 disables the cache' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l compress-cache -d 'Memory for compressed content of files of 1 KiB to 4 MiB, of all workers together, in bytes or with k, m or g; 0 compresses nothing' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l health-path -d 'Path at which workers answer health checks, such as /health: 200 if the server can serve, otherwise 503; nothing of the site is served there [default: none]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-request-line -d 'Maximum length of a request line, in bytes or with k; longer ones get 414' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-head -d 'Maximum length of a request head, in bytes or with k; longer ones get 431' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-fields -d 'Maximum number of header fields in a request; more get 431' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l max-requests -d 'Number of requests after which a connection is closed' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l head-timeout -d 'Seconds within which a complete request head must arrive; otherwise 408' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l idle-timeout -d 'Seconds that an idle connection is kept open for its next request' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l send-timeout -d 'Period in seconds over which a client must receive at least --min-rate; otherwise the connection is closed' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l min-rate -d 'Minimum rate of a slow client in bytes per second over --send-timeout, or with k' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l drain-timeout -d 'Seconds that old workers have to finish requests in flight after a reload' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l stop-timeout -d 'Seconds that requests in flight have to finish when the server is stopped [default: 4 if systemd passes the sockets, as new connections wait meanwhile; otherwise as --drain-timeout]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l health-timeout -d 'Seconds after which a document root whose disk does not respond makes the health check 503; it is read five times in that time, at most once a second' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l lame-duck -d 'Seconds for which the server still accepts connections after TERM, while the health check says 503; then it stops' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l idle-exit -d 'Seconds without a connection after which the server exits; its socket unit starts it again [default: never]' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l access-log -d 'Access log destination: journal, stderr (JSON lines), errors (only failed requests, with the server log) or off [default: journal under systemd, otherwise off]' -r -f -a "journal\t'All requests, in the journal'
stderr\t'All requests, as JSON lines on stderr'
off\t'No access log'
errors\t'Only 4xx, 5xx and aborted responses, with the server log'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-rate -d 'Maximum number of access-log records per second; further requests are summarized, errors have a separate limit' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-query -d 'Record the query string of targets and referers: yes or no' -r
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l log-address -d 'Recorded part of client addresses: full, net (IPv4 /24, IPv6 /48) or none' -r -f -a "full\t'Address and port'
net\t'Network only: IPv4 /24 or IPv6 /48'
none\t'Nothing'"
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l check -d 'Validate the configuration, print every setting with its origin, and exit'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l redirect-to-https -d 'Redirect GET and HEAD of plain HTTP to HTTPS, for the names of the certificates only'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l auth-over-http -d 'Ask for passwords over plain HTTP from public addresses as well, where anybody on the way can read them'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l forwarded-host -d 'Let trusted proxies name the host that the client asked for, by X-Forwarded-Host or Forwarded'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l listing -d 'List directories without an index, as an HTML page or, by Accept, as JSON'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -l dotfiles -d 'Serve files and directories whose names begin with a dot; otherwise only .well-known'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s d -l debug -d 'Log every request and every connection that ends early'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -s V -l version -d 'Print version'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -f -a "precompress" -d 'Write name.br, name.zst and name.gz beside every file below DIR that becomes smaller'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -f -a "check-site" -d 'List what is wrong with a site: rules, links that lead nowhere, stale variants; nothing is written'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -f -a "https" -d 'Set up HTTPS for the packaged service: certificates, their renewal and the socket'
complete -c otus-httpd -n "__fish_otus_httpd_needs_command" -f -a "keys" -d 'The process that has the private keys; systemd starts it'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand precompress" -l verify -d 'Write nothing; list the variants that do not decode to exactly the file beside them'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand precompress" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l ignore -d 'Kind of finding to leave out; repeatable, or separated by commas' -r -f -a "unread\t'A file or directory that could not be checked'
rule\t'A line of _headers or _redirects that the server does not apply'
loop\t'Redirects that lead back to where they began'
chain\t'A redirect that leads to another redirect'
shadowed\t'A redirect for a path that has a file, which is served instead'
impossible\t'A rule that never applies, or leads to nothing'
unused\t'A rule of _headers for paths that do not exist: a warning'
link\t'A link that leads nowhere'
relative\t'A relative link in an error page, which is sent for paths in every directory'
variant\t'A precompressed variant that is not the file beside it'"
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l host -d 'Host of this site, whose links are links within it; repeatable, or separated by commas. Default: the host that the home page or the sitemap names' -r -f -a "(__fish_print_hostnames)"
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l index -d 'The names of the files that are served for a directory, as in --index of the server' -r
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l pretty -d 'The names of pages without .html, as in --pretty of the server' -r -f -a "off\t'A page has only its own name'
on\t'A page can be requested without its extension, if nothing else has that name'
redirect\t'The same, and its name with the extension leads there'"
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l json -d 'Print one JSON object instead of lines'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l listing -d 'The server runs with --listing: a directory without an index is a page'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -l dotfiles -d 'The server runs with --dotfiles: names that begin with a dot are served'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand check-site" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and not __fish_seen_subcommand_from enable import status disable" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and not __fish_seen_subcommand_from enable import status disable" -f -a "enable" -d 'Get a certificate for the names by certbot, and serve HTTPS with it; can be repeated'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and not __fish_seen_subcommand_from enable import status disable" -f -a "import" -d 'Serve HTTPS with a certificate from elsewhere; can be repeated with its successor'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and not __fish_seen_subcommand_from enable import status disable" -f -a "status" -d 'Show the certificates, what renews them, and the socket'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and not __fish_seen_subcommand_from enable import status disable" -f -a "disable" -d 'Stop serving HTTPS; the certificates stay'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from enable" -l email -d 'Email address for the account at the certification authority [default: none]' -r -f
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from enable" -l server -d 'Directory URL of another certification authority (ACME) [default: Let\'s Encrypt]' -r -f
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from enable" -l redirect -d 'Redirect plain HTTP to HTTPS for these names (OTUS_REDIRECT_TO_HTTPS=1)'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from enable" -l agree-tos -d 'Agree to the terms of service of the certification authority'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from enable" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from disable" -l force -d 'Also if browsers may insist on HTTPS, because of --hsts'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand https; and __fish_seen_subcommand_from disable" -s h -l help -d 'Print help'
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand keys" -l certificates -d 'The directory of the certificates [default: that of the settings, or /etc/otus-httpd/certificates]' -r -f -a "(__fish_complete_directories)"
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand keys" -l settings -d 'The settings file of the server, which may be missing' -r -F
complete -c otus-httpd -n "__fish_otus_httpd_using_subcommand keys" -s h -l help -d 'Print help'
