// Expand series with ical.js, one JSON object a line: {start, rule, from, to} in floating iCalendar times.
// Answers a line each: the list of starts in the window, or null where ical.js does not know what to do.
'use strict';

const loaded = require(process.env.ICAL_JS);
const ICAL = loaded.default || loaded;

function startsOf({start, rule, from, to}) {
  const event = new ICAL.Component(ICAL.parse(`BEGIN:VEVENT\r\nUID:a\r\nDTSTART:${start}\r\n${rule}\r\nEND:VEVENT`));
  const expansion = new ICAL.RecurExpansion({component: event, dtstart: event.getFirstPropertyValue('dtstart')});
  const found = [];
  for (let next = expansion.next(); next; next = expansion.next()) {
    const text = next.toICALString();
    if (text >= to) break;
    if (text >= from) found.push(text);
  }
  return found;
}

for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) {
  let answer = null;
  try {
    answer = startsOf(JSON.parse(line));
  } catch (error) {
    if (!/Malformed values/.test(error.message)) throw error;
  }
  console.log(JSON.stringify(answer));
}
