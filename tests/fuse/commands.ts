/** Shell commands that use a filesystem, in the directory `$1`. */
export const COMMANDS = `
cd "$1"
head -c 3000000 /dev/urandom >/tmp/source
cp /tmp/source copy && cmp /tmp/source copy
for i in 1 2 3; do echo "line $i" >>log; done
[ "$(cat log)" = "$(printf 'line 1\\nline 2\\nline 3')" ]
truncate -s 7 log && [ "$(cat log)" = "line 1" ]
truncate -s 5000 log && [ "$(stat -c %s log)" = 5000 ]
: >log && [ "$(stat -c %s log)" = 0 ]
mkdir -p one/two/three && echo deep >one/two/three/file
mv one/two other && [ "$(cat other/three/file)" = deep ] && rmdir one
ln -s other/three/file link && [ "$(cat link)" = deep ]
[ "$(readlink link)" = other/three/file ]
mv copy renamed && mv renamed other/three && cmp /tmp/source other/three/renamed
for i in $(seq 200); do echo $i >many$i; done
[ "$(ls | grep -c many)" = 200 ] && rm many*
chmod 600 log && [ "$(stat -c %a log)" = 600 ]
touch -d '2001-02-03 04:05:06' log
[ "$(stat -c %Y log)" = "$(date -d '2001-02-03 04:05:06' +%s)" ]
dd if=/tmp/source of=direct bs=4096 count=16 2>/dev/null
cmp -n 65536 /tmp/source direct
rm -r other && rm link log direct && [ -z "$(ls -A)" ]
`;
