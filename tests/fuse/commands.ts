/** Shell commands that use a filesystem, in the directory `$1`. */

/** How much the commands do. */
interface Extent {
  /** Bytes of the large file. */
  readonly byteLength: number;
  /** Files in one directory. */
  readonly files: number;
  /** Commands at the end, which remove what they make. */
  readonly more: string;
}

/** Returns commands that every filesystem which can be written has to run. */
export const commandsFor = ({ byteLength, files, more }: Extent): string => `
cd "$1"
head -c ${byteLength} /dev/urandom >/tmp/source
cp /tmp/source copy && cmp /tmp/source copy
for i in 1 2 3; do echo "line $i" >>log; done
[ "$(cat log)" = "$(printf 'line 1\\nline 2\\nline 3')" ]
truncate -s 7 log && [ "$(cat log)" = "line 1" ]
truncate -s 5000 log && [ "$(stat -c %s log)" = 5000 ]
: >log && [ "$(stat -c %s log)" = 0 ]
mkdir -p one/two/three && echo deep >one/two/three/file
mv one/two other && [ "$(cat other/three/file)" = deep ] && rmdir one
mv copy renamed && mv renamed other/three && cmp /tmp/source other/three/renamed
for i in $(seq ${files}); do echo $i >many$i; done
[ "$(ls | grep -c many)" = ${files} ] && rm many*
dd if=/tmp/source of=direct bs=4096 count=16 2>/dev/null
cmp -n 65536 /tmp/source direct
${more}
rm -r other && rm log direct && [ -z "$(ls -A)" ]
`;

/** Those for a filesystem with links, permissions and times. */
export const COMMANDS: string = commandsFor({
  byteLength: 3_000_000,
  files: 200,
  more: `
ln -s other/three/file link && [ "$(cat link)" = deep ]
[ "$(readlink link)" = other/three/file ] && rm link
chmod 600 log && [ "$(stat -c %a log)" = 600 ]
touch -d '2001-02-03 04:05:06' log
[ "$(stat -c %Y log)" = "$(date -d '2001-02-03 04:05:06' +%s)" ]`,
});
