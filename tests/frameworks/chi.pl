# chi.pl -- Perl's CHI over CHI::Driver::Redis, and over the driver in adapters/, which keeps no sets.
#
# CHI's own driver writes down each key in a set before it stores the value, so nothing is ever stored; every capability
# shows that first. report.py tells what a report is.
use strict;
use warnings;
use utf8;
use FindBin;
use lib "$FindBin::Bin/adapters";
use CHI;
use JSON::PP;
use Time::HiRes qw(sleep time);

$| = 1;
my $json = JSON::PP->new->utf8->canonical;

sub say_report {
    print $json->encode({@_}), "\n";
    exit 1 unless defined <STDIN>;
}

# Perl does not tell 17 from "17", so neither does this.
sub equal {
    my ($got, $want) = map { JSON::PP->new->canonical->allow_nonref->encode($_) =~ s/"(\d+)"/$1/gr } @_;
    die "got $got, not $want\n" if $got ne $want;
}

sub make_cache {
    return CHI->new(server => "127.0.0.1:$ENV{PORT}", namespace => 'shop', expires_on_backend => 1,
        on_get_error => 'die', on_set_error => 'die', @_);
}

my $chi   = make_cache(driver       => 'Redis');
my $cache = make_cache(driver_class => 'ChiDriver');
my $raw   = $cache->redis;

# The framework's own driver fails in storing and in listing its keys, and stores nothing.
sub refused_by_chi {
    for (['SADD', sub { $chi->set('refused', 1) }], ['SMEMBERS', sub { $chi->get_keys }]) {
        my ($command, $call) = @$_;
        die "no error\n" if eval { $call->(); 1 };
        die "not unknown command '$command', but $@" unless $@ =~ /unknown command '$command'/i;
    }
    equal($chi->get('refused'), undef);
}

sub needs_sets {
    my ($capability, $attempt) = @_;
    my @report = (result => 'needs', command => 'SADD', note => 'use `adapters/ChiDriver.pm`');
    eval { refused_by_chi(); $attempt->(); 1 } or @report = (result => 'failed', why => "$@");
    say_report(capability => $capability, @report);
}

say_report(about => "CHI $CHI::VERSION, CHI::Driver::Redis $CHI::Driver::Redis::VERSION, Redis.pm $Redis::VERSION, Perl "
    . sprintf '%vd', $^V);

needs_sets('get and set', sub {
    for my $value ('text', '', 'Grüße', "\r\n\0", 17, { a => [1, 2] }, 'x' x 100000) {
        $cache->set('value', $value);
        equal($cache->get('value'), $value);
    }
    equal($cache->get('nobody'), undef);
});

needs_sets('get or compute', sub {
    my $calls = 0;
    equal([map { scalar $cache->compute('computed', 60, sub { ++$calls }) } 1 .. 2], [1, 1]);
});

needs_sets('add', sub {
    $cache->add('seat', $_, 60) for qw(first second);
    equal($cache->get('seat'), 'first');
});

needs_sets('many', sub {
    $cache->set_multi({ map { ("many$_" => $_) } 0 .. 199 }, 60);
    equal($cache->get_multi_hashref(['many0', 'nobody', 'many199']), { many0 => 0, nobody => undef, many199 => 199 });
});

needs_sets('expiry', sub {
    my $name  = 'shop||brief';
    my $began;
    while (1) {
        $began = time;
        $cache->set('brief', 1, 1);
        my $got = [$cache->get('brief'), $raw->exists($name)];
        last if $got->[0] && $got->[1];
        equal($got, [1, 1]) if time < $began + 0.95;    # or the machine had stopped somebody: again
    }
    while ($raw->exists($name)) {
        die "it is still there\n" if time > $began + 60;
        sleep 0.01;
    }
    die "it was gone too early\n" if time < $began + 0.95;
    equal($cache->get('brief'), undef);
});

needs_sets('delete', sub {
    $cache->set('gone', 1);
    $cache->remove('gone') for 1 .. 2;
    equal($cache->get('gone'), undef);
});

needs_sets('delete many', sub {
    $cache->set_multi({ d0 => 0, d1 => 1, d2 => 2 });
    $cache->remove_multi(['d0', 'd2', 'nobody']);
    equal($cache->get_multi_arrayref(['d0', 'd1', 'd2']), [undef, 1, undef]);
});

needs_sets('prefixes', sub {
    my $other = make_cache(driver_class => 'ChiDriver', namespace => 'news');
    $cache->set('same', 'shop');
    $other->set('same', 'news');
    equal([$cache->get('same'), $other->get('same'), $other->get_keys], ['shop', 'news', 'same']);
});

needs_sets('database', sub {
    my $elsewhere = make_cache(driver_class => 'ChiDriver');
    $elsewhere->redis->select(1);
    $cache->set('place', 'here');
    equal($elsewhere->get('place'), undef);
    $elsewhere->set('place', 'there');
    $elsewhere->clear;
    equal([$cache->get('place'), $elsewhere->get('place')], ['here', undef]);
});

needs_sets('clear', sub {
    my $other = make_cache(driver_class => 'ChiDriver', namespace => 'news');
    $other->set('a', 2);
    $cache->set('a', 1);
    $cache->clear;
    equal([$cache->get('a'), $other->get('a'), scalar(() = $cache->get_keys)], [undef, 2, 0]);
});

for my $name (qw(increment incr touch delete_pattern tags lock)) {
    die "CHI has $name by now\n" if $cache->can($name);
}
say_report(capability => $_, result => 'absent')
    for ('increment', 'touch', 'delete by pattern', 'versions', 'tags', 'lock', 'stale lock');
