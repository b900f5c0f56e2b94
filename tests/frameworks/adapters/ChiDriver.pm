# ChiDriver.pm -- CHI's Redis driver without the sets in which it writes down its keys:
#
#     CHI->new(driver_class => 'ChiDriver', expires_on_backend => 1, server => ..., namespace => ...)
package ChiDriver;

use Moo;
use URI::Escape qw(uri_escape uri_unescape);

extends 'CHI::Driver::Redis';

sub _name {
    my ($self, $key) = @_;
    return $self->prefix . $self->namespace . '||' . uri_escape($key);
}

sub store {
    my ($self, $key, $data, $seconds) = @_;
    $self->redis->set($self->_name($key), $data, defined $seconds ? (EX => $seconds > 1 ? int $seconds : 1) : ());
}

sub remove {
    my ($self, $key) = @_;
    $self->redis->del($self->_name($key));
}

sub get_keys {
    my ($self) = @_;
    my $start   = $self->_name('');
    my $pattern = quotemeta($start) . '*';
    my ($cursor, %found) = (0);
    do {
        ($cursor, my $names) = $self->redis->scan($cursor, MATCH => $pattern, COUNT => 1000);
        $found{ uri_unescape(substr $_, length $start) } = 1 for @$names;
    } while ($cursor);
    return keys %found;
}

sub clear {
    my ($self) = @_;
    $self->remove($_) for $self->get_keys;
}

1;
