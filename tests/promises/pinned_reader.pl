# Reads generations as docs/keys.md says, with nothing but a socket: get the pointer, then all keys
# of that one generation. Until standard input ends; then prints requests, mixed answers and
# answers with a key missing.
#
# usage: pinned_reader.pl SOCKET PASSWORD
use strict;
use warnings;
use IO::Socket::UNIX;
use IO::Select;

my ($path, $password) = @ARGV;
my $server = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!";
my $input = IO::Select->new(\*STDIN);
my ($requests, $mixed, $missing) = (0, 0, 0);

sub ask {
    print {$server} '*', scalar @_, "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_;
    $server->flush;
    return answer();
}

sub answer {
    my $line = <$server>;
    die 'the server hung up' unless defined $line;
    my ($kind, $rest) = $line =~ /^(.)(.*)\r\n$/ or die "not understood: $line";
    die $rest if $kind eq '-';
    return $rest if $kind eq '+';
    return [map { answer() } 1 .. $rest] if $kind eq '*';
    return undef if $rest < 0;
    read($server, my $value, $rest + 2) == $rest + 2 or die 'the server hung up';
    return substr $value, 0, -2;
}

ask('AUTH', 'reader', $password);
until ($input->can_read(0)) {
    my $generation = ask('GET', '{reco}:current');
    my $night = hex((split /-/, $generation)[1]);
    my @suffixes = ('user:1', 'ranked:3', 'similar:1', 'user:3', 'popular:most_rated');
    my $values = ask('MGET', map { "reco:$generation:$_" } @suffixes);
    for my $value (@$values) {
        if (!defined $value) { $missing++ }
        elsif ($value !~ /"s":\[([\d.]+)/ || $1 - 5 != $night) { $mixed++ }
    }
    $requests++;
}
print "$requests $mixed $missing\n";
