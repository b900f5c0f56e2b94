# perl_redis.pl -- what Redis.pm and its twin Redis::Fast do with the server. How it is called stands in run.py; the
# module comes first:  perl perl_redis.pl MODULE [PORT NAME]
use strict;
use warnings;
use Time::HiRes qw(sleep time);

my ($module, $port, $chosen) = @ARGV;
my $MANY = 10_000;    # commands in one pipeline
my $all_bytes = join '', map { chr } 0 .. 255;
eval "require $module; 1" or die $@;
$| = 1;

sub connected {
    return $module->new(server => "127.0.0.1:$port", cnx_timeout => 30, read_timeout => 30, @_);
}

sub in_database_3 {
    return connected(on_connect => sub { $_[0]->select(3) }, @_);
}

# Values in one line: nothing is "(none)", a list stands in brackets.
sub shown {
    return join ' ', map { ref eq 'ARRAY' ? '[' . shown(@$_) . ']' : defined ? $_ : '(none)' } @_;
}

# Compares lists, in order and as text.
sub equal {
    my ($got, $want) = (shown(@{$_[0]}), shown(@{$_[1]}));
    $got eq $want or die sprintf "got %.300s, not %.300s\n", $got, $want;
}

# The error of this function; the library puts its own place in the program around the server's text.
sub raises {
    my ($function) = @_;
    eval { $function->(); 1 } and die "no error\n";
    return $@ =~ /^\[\w+\] (.*?), +at \S+ line / ? $1 : $@;
}

sub until_true {
    my ($condition) = @_;
    my $deadline = time + 20;
    while (!$condition->()) {
        die "not within 20 s\n" if time > $deadline;
        sleep 0.002;
    }
}

# A field of the line of CLIENT LIST for the connection of this name.
sub field {
    my ($c, $name, $wanted) = @_;
    my ($line) = grep { / name=\Q$name\E / } split /\n/, scalar $c->client_list;
    return $line =~ / $wanted=(\S*)/ ? $1 : undef;
}

sub resp2 {
    my $c = connected(name => 'plain');
    equal([$c->ping, $c->set('k', 'v'), $c->get('k'), scalar $c->get('nothing')], ['PONG', 'OK', 'v', undef]);
    equal([field($c, 'plain', 'resp')], [2]);
}

sub handshake {
    my $c = in_database_3(name => 'the-name');
    $c->set('k', 'in 3');
    equal([field($c, 'the-name', 'db')], [3]);
    equal([scalar connected()->get('k'), in_database_3()->get('k')], [undef, 'in 3']);
}

sub ttl {
    my $c = connected();
    $c->set('seconds', 'v', 'EX', 100);
    $c->set('milliseconds', 'v', 'PX', 100_000);
    $c->set('short', 'v', 'PX', 30);
    my ($seconds, $milliseconds) = ($c->ttl('seconds'), $c->pttl('milliseconds'));
    $seconds >= 90 && $seconds <= 100 && $milliseconds >= 90_000 && $milliseconds <= 100_000 or die "the TTL is off\n";
    until_true(sub { !defined $c->get('short') });
    equal([$c->ttl('short'), $c->get('seconds')], [-2, 'v']);
}

sub binary {
    my $c = connected();
    $c->set($all_bytes, scalar reverse $all_bytes);
    $c->set('empty', '');
    equal([$c->get($all_bytes), $c->get('empty')], [scalar reverse($all_bytes), '']);
}

sub large {
    my $value = join '', map { sprintf '%08x', $_ } 0 .. (1 << 17) - 1;
    my $c = connected();
    $c->set('large', $value);
    $c->get('large') eq $value or die "another value came back\n";
}

sub pipeline {
    my $c = connected();
    my @replies;
    my $keep = sub { push @replies, $_[1] // $_[0] };
    for my $i (0 .. $MANY / 2 - 1) {
        $c->set("key:$i", sprintf('%01000d', $i), $keep);
        $c->get("key:$i", $keep);
    }
    $c->wait_all_responses;
    equal([scalar @replies], [$MANY]);
    equal([$replies[$_]], [$_ % 2 ? sprintf('%01000d', $_ >> 1) : 'OK']) for 0 .. $MANY - 1;
}

sub many {
    my $c = connected();
    equal([$c->mset('a', 1, 'b', 'two'), $c->mget('a', 'nothing', 'b'), $c->incr('a')], ['OK', 1, undef, 'two', 2]);
    my @keys = qw(a b nothing);
    equal([$c->exists(@keys), $c->del(@keys), $c->exists(@keys)], [2, 2, 0]);
}

sub scan {
    my $c = connected();
    $c->mset(map { ("scan:$_", 1, "other:$_", 1) } 0 .. 999);
    my %found;
    my ($cursor, $keys) = (0);
    do {
        ($cursor, $keys) = $c->scan($cursor, 'MATCH', 'scan:*', 'COUNT', 100);
        $found{$_}++ for @$keys;
    } while ($cursor ne '0');
    equal([sort keys %found], [sort map { "scan:$_" } 0 .. 999]);
}

sub transaction {
    my $c = connected();
    equal([$c->multi, $c->set('n', 1), $c->incr('n')], ['OK', 'QUEUED', 'QUEUED']);
    equal([$c->get('n'), $c->get('nothing')], ['QUEUED', 'QUEUED']);
    equal([$c->exec], ['OK', 2, 2, undef]);
}

sub watch {
    my ($c, $other) = (connected(), connected());
    $c->watch('k');
    $other->set('k', 'other');
    $c->multi;
    $c->set('k', 'mine');
    equal([scalar($c->exec), $c->get('k')], [undef, 'other']);
    $c->watch('k');
    $c->multi;
    $c->set('k', 'mine');
    equal([$c->exec, $c->get('k')], ['OK', 'mine']);
}

sub execabort {
    my $c = connected();
    $c->multi;
    $c->set('k', 'v');
    equal([raises(sub { $c->get })], [q(ERR wrong number of arguments for 'get' command)]);
    equal([raises(sub { $c->exec })], ['EXECABORT Transaction discarded because of previous errors.']);
    equal([scalar $c->get('k')], [undef]);
}

sub error {
    my $c = connected();
    $c->set('text', 'abc');
    equal([raises(sub { $c->incr('text') })], ['ERR value is not an integer or out of range']);
    equal([$c->get('text')], ['abc']);
}

sub unknown {
    my $text = raises(sub { connected()->lpush('k', 'v') });
    equal([$text], [q(ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' )]);
}

sub reconnect {
    my $c = in_database_3(name => 'again', reconnect => 20, every => 10_000);
    $c->set('k', 'v');
    print "RESTART\n";
    readline *STDIN;
    equal([scalar $c->get('k'), $c->set('k', 'new'), $c->get('k')], [undef, 'OK', 'new']);
    equal([field($c, 'again', 'db')], [3]);
}

my @capabilities = (
    ['resp2', \&resp2, ''],
    ['resp3', undef, 'the library speaks RESP2 only'],
    ['handshake', \&handshake, ''],
    ['ttl', \&ttl, ''],
    ['binary', \&binary, ''],
    ['large', \&large, ''],
    ['pipeline', \&pipeline, ''],
    ['many', \&many, ''],
    ['scan', \&scan, 'cursor by cursor: the library has no iterator'],
    ['transaction', \&transaction, ''],
    ['watch', \&watch, ''],
    ['execabort', \&execabort, ''],
    ['error', \&error, ''],
    ['unknown', \&unknown, ''],
    ['reconnect', \&reconnect, ''],
);

for (@capabilities) {
    my ($name, $show, $remark) = @$_;
    if (!$port) {
        print $show ? '+' : '-', " $name $remark\n";
    } elsif ($name eq $chosen) {
        $show->();
    }
}
