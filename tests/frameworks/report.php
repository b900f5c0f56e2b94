<?php
// report.php -- what the PHP programs here share; report.py tells what each of these means.

set_error_handler(function ($level, $message, $file, $line) {
    if (error_reporting() & $level) {  // not what @ keeps silent
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);  // the packages are older than this PHP

class Failure extends Exception
{
}

function check($condition, string $message): void
{
    if (!$condition) {
        throw new Failure($message);
    }
}

/** The same value of the same type; an array's order is that of its keys. */
function equal($got, $want): void
{
    if (is_array($got) && is_array($want)) {
        ksort($got);
        ksort($want);
    }
    if ($got !== $want) {
        throw new Failure('got '.substr(var_export($got, true), 0, 300).', not '.substr(var_export($want, true), 0, 300));
    }
}

function until(callable $condition, string $what, float $seconds = 60): void
{
    $deadline = microtime(true) + $seconds;
    while (!$condition()) {
        check(microtime(true) < $deadline, "not within $seconds s: $what");
        usleep(10000);
    }
}

function expires(float $seconds, callable $write, callable $isThere): void
{
    while (true) {
        $began = microtime(true);
        $write();
        if ($isThere()) {
            break;
        }
        // or the machine had stopped somebody: again
        check(microtime(true) - $began > $seconds - 0.05, 'it is gone at once');
    }
    until(fn () => !$isThere(), "what lives $seconds s is gone");
    $lived = microtime(true) - $began;
    check($lived > $seconds - 0.05, "it was gone after $lived s, not $seconds");
}

function raises(string $kind, callable $call): Throwable
{
    try {
        $result = $call();
    } catch (Throwable $error) {
        check($error instanceof $kind, 'no '.$kind.', but '.get_class($error).': '.$error->getMessage());
        return $error;
    }
    throw new Failure("no $kind, but ".var_export($result, true));
}

/** These are the server's words for a command that it does not have. */
function saysUnknown(string $command, ?string $message): void
{
    check(str_contains((string) $message, "unknown command '$command'"), "not unknown command '$command', but $message");
}

function refused(string $command, callable $call): void
{
    $words = [];
    for ($error = raises(Throwable::class, $call); $error; $error = $error->getPrevious()) {
        $words[] = $error->getMessage();
    }
    saysUnknown($command, implode('; ', $words));
}

function say(array $report): void
{
    // Not echo: that would count as output of a page, before which a session must start.
    fwrite(STDOUT, json_encode($report, JSON_INVALID_UTF8_SUBSTITUTE)."\n");
    if (fgets(STDIN) === false) {
        exit(1);
    }
}

function about(string $versions): void
{
    say(['about' => $versions]);
}

function attempt(string $capability, array $report, callable $function): void
{
    try {
        $function();
    } catch (Throwable $error) {
        $line = basename($error->getFile()).':'.$error->getLine();
        foreach ($error->getTrace() as $frame) {
            $line = basename($frame['file'] ?? '').':'.($frame['line'] ?? '')." $line";
        }
        $report = ['result' => 'failed', 'why' => "$line: ".get_class($error).': '.$error->getMessage()];
    }
    say(['capability' => $capability] + $report);
}

function works(string $capability, callable $function, string $note = ''): void
{
    attempt($capability, ['result' => 'works', 'note' => $note], $function);
}

function without(string $command, string $capability, string $note, callable $function): void
{
    attempt($capability, ['result' => 'without', 'command' => $command, 'note' => $note], $function);
}

function needs(string $command, string $capability, string $use, callable $function): void
{
    attempt($capability, ['result' => 'needs', 'command' => $command, 'note' => $use], $function);
}

function absent(string ...$capabilities): void
{
    foreach ($capabilities as $capability) {
        say(['capability' => $capability, 'result' => 'absent']);
    }
}

/** The version of a Debian package. */
function version(string $package): string
{
    return preg_replace('/^\d+:|[+-].*$/', '', (string) shell_exec("dpkg-query -W -f '\${Version}' $package"));
}
