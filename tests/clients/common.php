<?php
// common.php -- what the programs for PHP share. How they are called stands in run.py.

const MANY = 10000; // commands in one pipeline
define('PORT', (int)($argv[1] ?? 0));
define('ALL_BYTES', implode('', array_map('chr', range(0, 255))));

function check($condition, $message)
{
    if (!$condition) {
        throw new Exception($message);
    }
}

function equal($got, $want)
{
    check($got === $want, sprintf('got %.300s, not %.300s', var_export($got, true), var_export($want, true)));
}

/** The text of the error that this function raises. */
function raises($class, $function)
{
    try {
        $got = $function();
    } catch (Exception $e) {
        check($e instanceof $class, get_class($e) . " instead of $class: " . $e->getMessage());
        return $e->getMessage();
    }
    throw new Exception("no $class but " . var_export($got, true));
}

function until($condition)
{
    $deadline = microtime(true) + 20;
    while (!$condition()) {
        check(microtime(true) < $deadline, 'not within 20 s');
        usleep(2000);
    }
}

function padded($i)
{
    return sprintf('%01000d', $i);
}

function one_mb()
{
    return implode('', array_map(fn($i) => sprintf('%08x', $i), range(0, (1 << 17) - 1)));
}

/** Has the server restarted. */
function restarted()
{
    echo "RESTART\n";
    fgets(STDIN);
}

/** Rows of [name, function or null, remark]. */
function main($capabilities)
{
    global $argv;
    foreach ($capabilities as [$name, $show, $remark]) {
        if (!PORT) {
            echo $show ? '+' : '-', " $name $remark\n";
        } elseif ($name === $argv[2]) {
            $show();
        }
    }
}
