// What a Node without process.binding looks like to the adapter.
'use strict';
delete process.binding;
